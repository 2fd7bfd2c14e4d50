//! Bytes that runs keep.

use flowcell_core::blob::{Blob, BlobFacts};
use flowcell_core::id::Digest;

use crate::backend::{Backend, at, finished, run_id, started, workspace};

fn picture(seed: u8) -> Blob {
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| u8::try_from(n % 251).unwrap() ^ seed).collect();
    let facts = BlobFacts {
        blob: Digest::of(&bytes),
        bytes: bytes.len() as u64,
        content_type: Some("image/png".to_owned()),
        filename: Some("naïve.png".to_owned()),
    };
    Blob { facts, bytes }
}

async fn ended(store: &Backend, number: u64) {
    let run = store.start(number).await;
    store.happens(run, started(1)).await;
    store.happens(run, finished()).await;
}

pub(crate) async fn a_blob_comes_back_as_it_was_after_a_restart(store: Backend) {
    let run = store.start(1).await;
    let (blob, empty) = (
        picture(1),
        Blob {
            facts: BlobFacts { blob: Digest::of(b""), bytes: 0, content_type: None, filename: None },
            bytes: Vec::new(),
        },
    );
    for blob in [&blob, &empty, &blob] {
        store.blobs.keep(&workspace(), run, blob.clone()).await.unwrap();
    }
    let store = store.restart();
    assert_eq!(store.blobs.blob(&workspace(), run, &blob.facts.blob).await.unwrap().as_ref(), Some(&blob));
    assert_eq!(store.blobs.blob(&workspace(), run, &empty.facts.blob).await.unwrap(), Some(empty));
    assert_eq!(store.blobs.blob(&workspace(), run_id(2), &blob.facts.blob).await.unwrap(), None, "of another run");
    assert_eq!(store.blobs.blob(&workspace(), run, &Digest::of(b"other")).await.unwrap(), None);
}

pub(crate) async fn a_blob_goes_with_its_run_and_stays_with_another_one(store: Backend) {
    let blob = picture(2);
    for number in [1, 2] {
        ended(&store, number).await;
        store.blobs.keep(&workspace(), run_id(number), blob.clone()).await.unwrap();
    }
    let mut store = store;
    for (number, other) in [(1, Some(&blob)), (2, None)] {
        let removed = store.retention.remove(&workspace(), &[run_id(number)]).await.unwrap();
        assert_eq!(removed.runs, 1, "at {}", at(number));
        for _ in 0..2 {
            assert_eq!(store.blobs.blob(&workspace(), run_id(number), &blob.facts.blob).await.unwrap(), None);
            let kept = store.blobs.blob(&workspace(), run_id(2), &blob.facts.blob).await.unwrap();
            assert_eq!(kept.as_ref(), other);
            store = store.restart();
        }
    }
    assert_eq!(store.retention.usage().await.unwrap().payload_bytes, 0);
}
