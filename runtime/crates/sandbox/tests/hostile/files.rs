//! Private directories: none without capability or grant, no way out of one, and nothing beyond its quota.

mod support;

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use flowcell_core::ports::{Invoker as _, Rehearsal as _};
use flowcell_core::record::{Answers, RecordedFailure, Recording};
use serde_json::{Value, json};

use self::support::{FilesWorld, MIB};
use crate::support::call;

/// What came of one line: its answer, or the code of its error.
fn ok(answer: impl Into<Value>) -> Value {
    json!({ "ok": answer.into() })
}

fn error(code: &str) -> Value {
    json!({ "error": code })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_capability_or_grant_there_is_no_directory_and_the_log_says_what_to_grant() {
    let write = json!([["write", "a", "1"]]);
    let world = FilesWorld::new().without_capability().await;
    let answer = world.act(write.clone()).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "directories": 0 }));
    assert!(answer.record.log.is_empty(), "a language's runtime asks as well, and means nothing by it");

    let world = FilesWorld::new().without_grant().await;
    let answer = world.act(write).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "directories": 0 }));
    let said: Vec<&str> = answer.record.log.iter().map(|line| line.message.as_str()).collect();
    assert!(
        matches!(said[..], [line] if line.contains("[[grants]]") && line.contains("services = [\"files\"]")),
        "{said:?}"
    );
    assert!(!world.kept().exists(), "nothing was made on the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_call_writes_the_next_reads_and_nobody_else() {
    let world = FilesWorld::new().open().await;
    let first = world
        .told(json!([
            ["mkdir", "deep"],
            ["write", "deep/a.txt", "grüße"],
            ["write", "b.txt", "b"],
            ["mv", "b.txt", "deep/c.txt"],
            ["sync", "deep/a.txt"],
            ["list", "deep"],
        ]))
        .await;
    let expected = [
        ok(Value::Null),
        ok(Value::Null),
        ok(Value::Null),
        ok(Value::Null),
        ok(Value::Null),
        ok(json!(["a.txt", "c.txt"])),
    ];
    assert_eq!(first, expected);
    let second = world
        .told(json!([
            ["read", "deep/a.txt"],
            ["read-stream", "deep/a.txt"],
            ["size", "deep/a.txt"],
            ["hash", "deep/a.txt"],
            ["append", "deep/c.txt", 3],
            ["write-at", "deep/c.txt", 1, "yy"],
            ["read", "deep/c.txt"],
            ["truncate", "deep/c.txt"],
            ["read", "deep/c.txt"],
            ["rmdir", "deep"],
            ["rm", "deep/a.txt"],
            ["rm", "deep/c.txt"],
            ["rmdir", "deep"],
            ["list", "."],
        ]))
        .await;
    let done = || ok(Value::Null);
    let expected = [
        ok("grüße"),
        ok("grüße"),
        ok(7),
        ok(true),
        ok(json!([3, null])),
        ok(2),
        ok("byyx"),
        done(),
        ok(""),
        error("not-empty"),
        done(),
        done(),
        done(),
        ok(json!([])),
    ];
    assert_eq!(second, expected);

    // Another plugin, with the same name of another publisher, and the same plugin in another workspace.
    world.told(json!([["write", "mine", "secret"]])).await;
    let other = world.act_as_other(json!([["list", "."], ["read", "../../fixture/files/mine"]])).await;
    assert_eq!(other.outcome.unwrap()["told"], json!([ok(json!([])), error("not-permitted")]));
    let mut elsewhere = call(world.guest, "do", json!({ "do": [["list", "."], ["read", "mine"]] }));
    elsewhere.workspace = "elsewhere".parse().unwrap();
    let elsewhere = world.sandbox.invoke(elsewhere).await;
    assert_eq!(elsewhere.outcome.unwrap()["told"], json!([ok(json!([])), error("no-entry")]));
    let on_disk = |path: &str| world.kept().join(path).exists();
    assert!(
        on_disk("default/fixture/files/mine") && on_disk("default/other/files") && on_disk("elsewhere/fixture/files")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_out() {
    let world = FilesWorld::new().open().await;
    world.told(json!([["mkdir", "in"], ["write", "in/here", "1"]])).await;
    let outside = world.kept().join("default/fixture/outside");
    std::fs::write(&outside, "secret").unwrap();
    let absolute = outside.to_str().unwrap();

    for path in [
        "../outside",
        "in/../../outside",
        "./../outside",
        "../files/../outside",
        "../outside/",
        absolute,
        "/etc/passwd",
    ] {
        let told = world
            .told(json!([
                ["read", path],
                ["write", path, "broken"],
                ["size", path],
                ["truncate", path],
                ["resize", path, 0],
                ["rm", path],
                ["mv", path, "stolen"],
                ["mv", "in/here", path],
                ["mv", "in", path],
                ["mkdir", path],
                ["rmdir", path],
                ["list", path],
                ["hash", path],
            ]))
            .await;
        for answer in &told {
            assert_eq!(answer, &error("not-permitted"), "{path}: {told:?}");
        }
    }
    for path in ["..", "/", "in/../..", "../../..", "../"] {
        let told = world
            .told(json!([["list", path], ["mkdir", path], ["rmdir", path], ["mv", path, "x"], ["rm", path]]))
            .await;
        assert!(told.iter().all(|answer| answer.get("error").is_some()), "{path}: {told:?}");
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "secret");
    // The directory itself stays, whatever it is called.
    for path in [".", "in/..", "./"] {
        let told = world.told(json!([["rmdir", path], ["mv", path, "x"], ["rm", path], ["mv", "in", path]])).await;
        assert!(told.iter().all(|answer| answer.get("error").is_some()), "{path}: {told:?}");
    }
    let told = world
        .told(json!([["read", "in/../in/./here"], ["read", ""], ["read", "a\u{0}b"], ["read", "x".repeat(5000)]]))
        .await;
    assert_eq!(told[0], ok("1"));
    assert!(told[1..].iter().all(|answer| answer.get("error").is_some()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_make_no_links_and_those_of_an_operator_are_not_followed_out() {
    let world = FilesWorld::new().open().await;
    let told = world
        .told(json!([
            ["write", "a", "1"],
            ["mkdir", "folder"],
            ["symlink", "../../../..", "up"],
            ["symlink", "/etc/passwd", "absolute"],
            ["symlink", "a", "inside"],
            ["ln", "a", "again"],
            ["ln", "../outside", "again"],
            ["list", "."],
        ]))
        .await;
    assert_eq!(told[2..7], vec![error("not-permitted"); 5]);
    assert_eq!(told[7], ok(json!(["a", "folder"])));

    let (home, outside) = (world.home(), world.directory.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(outside.join("secret"), home.join("to-file")).unwrap();
    symlink(&outside, home.join("to-folder")).unwrap();
    symlink("../../../../outside/secret", home.join("up")).unwrap();
    symlink("a", home.join("inside")).unwrap();
    symlink("circle", home.join("circle")).unwrap();
    make_pipe(&home.join("pipe"));
    for path in ["to-file", "up", "to-folder/secret", "to-folder/new", "folder/../to-file"] {
        let told = world
            .told(json!([
                ["read", path],
                ["write", path, "broken"],
                ["size", path],
                ["truncate", path],
                ["resize", path, 0]
            ]))
            .await;
        assert!(told.iter().all(|answer| *answer == error("not-permitted")), "{path}: {told:?}");
    }
    let told = world
        .told(json!([
            ["readlink", "to-file"],
            ["list", "to-folder"],
            ["mkdir", "to-folder/x"],
            ["mv", "a", "to-folder/a"],
            ["read", "circle"],
            ["read", "pipe"],
            ["write", "pipe", "x"],
            ["read", "inside"],
        ]))
        .await;
    assert!(told[..7].iter().all(|answer| answer.get("error").is_some()), "{told:?}");
    assert_eq!(told[7], ok("1"), "a link that stays inside is a file like others");
    // Deleting a link deletes the link.
    assert_eq!(world.told(json!([["rm", "to-file"], ["rm", "to-folder"]])).await, [ok(Value::Null), ok(Value::Null)]);
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

/// The disk that `path` and all below it takes up.
fn blocks_of(path: &Path) -> u64 {
    let found = std::fs::symlink_metadata(path).unwrap();
    let below = if found.is_dir() {
        std::fs::read_dir(path).unwrap().map(|entry| blocks_of(&entry.unwrap().path())).sum()
    } else {
        0
    };
    below + found.blocks() * 512
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_end_at_the_quota_however_they_are_written() {
    let world = FilesWorld::new().open().await;
    // One MiB: a block for the name, and 255 for the content.
    let most = MIB - 4096;
    let answer = world.act(json!([["fill", "a", 2 * MIB], ["size", "a"], ["write", "b", "1"], ["mkdir", "c"]])).await;
    let told = &answer.outcome.unwrap()["told"];
    assert_eq!(*told, json!([ok(json!([most, "quota"])), ok(most), error("quota"), error("quota")]));
    let said = &answer.record.log.last().unwrap().message;
    assert!(said.contains("directory of fixture/files is full") && said.contains("1 MiB"), "{said}");
    assert!(blocks_of(&world.home()) <= MIB + 4096, "{}", blocks_of(&world.home()));

    // The next call finds it full, and can make room.
    let told = world
        .told(json!([
            ["append", "a", 1],
            ["write-at", "a", most, "x"],
            ["write-at", "a", 0, "y"],
            ["resize", "a", MIB],
            ["resize", "a", 4096],
            ["append", "a", 4096],
            ["rm", "a"],
            ["fill", "b", most],
            ["truncate", "b"],
            ["fill", "c", most - 4096],
        ]))
        .await;
    let quota = || error("quota");
    assert_eq!(
        told,
        [
            ok(json!([0, "quota"])),
            quota(),
            ok(1),
            quota(),
            ok(Value::Null),
            ok(json!([4096, null])),
            ok(Value::Null),
            ok(json!([most, null])),
            ok(Value::Null),
            ok(json!([most - 4096, null])),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_count_as_if_they_were_full() {
    let world = FilesWorld::new().open().await;
    let told = world
        .told(json!([
            ["write-at", "a", MIB * 1024 * 1024, "x"],
            ["write-at", "a", u64::MAX, "x"],
            ["write-at", "a", i64::MAX, "x"],
            ["resize", "a", u64::MAX],
            ["resize", "a", 1_u64 << 62],
            ["resize", "a", MIB],
            ["size", "a"],
            ["resize", "a", MIB - 4096],
            ["write", "b", ""],
        ]))
        .await;
    assert_eq!(
        told,
        [
            error("quota"),
            error("file-too-large"),
            error("file-too-large"),
            error("file-too-large"),
            error("quota"),
            error("quota"),
            ok(0),
            ok(Value::Null),
            error("quota"),
        ]
    );
    assert!(blocks_of(&world.home()) < 64 * 1024, "a hole takes nothing, and counts all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_it_is_open_counts_until_it_is_closed() {
    let world = FilesWorld::new().open().await;
    let half = MIB / 2;
    let told = world
        .told(json!([
            ["fill", "a", half],
            ["keep", "a"],
            ["rm", "a"],
            ["fill", "b", half],
            ["rm", "b"],
            ["fill-kept", half],
            ["close-kept"],
            ["fill", "c", half],
            ["keep", "c"],
            ["write", "d", ""],
            ["mv", "d", "c"],
            ["fill", "e", half],
            ["close-kept"],
            ["fill", "e", half],
        ]))
        .await;
    // Half a MiB is taken; 4 KiB each for two names leave this much of the other half.
    let rest = half - 2 * 4096;
    let done = || ok(Value::Null);
    assert_eq!(told[..5], [ok(json!([half, null])), done(), done(), ok(json!([rest, "quota"])), done()]);
    assert_eq!(told[5], ok(json!([half - 4096, "quota"])), "without a name it can grow, and counts");
    assert_eq!(told[6..11], [done(), ok(json!([half, null])), done(), done(), done()]);
    assert_eq!(told[11], ok(json!([rest - 4096, "quota"])), "what a file was renamed over is deleted, too");
    // Closed now: of the whole MiB there is what `c` takes, one block and its name, and the names of `e` and the full half.
    assert_eq!(told[13], ok(json!([half, null])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_depth_and_handles_are_bounded() {
    let world = FilesWorld::new().with_quota_mib(64).await;
    let told =
        world.told(json!([["dig"], ["flood", "f", 5000], ["hoard", "f0"], ["rm", "f0"], ["flood", "g", 2]])).await;
    assert_eq!(told[0], ok(json!([32, "name-too-long"])));
    // 32 directories are there already.
    assert_eq!(told[1], ok(json!([4096 - 32, "quota"])));
    // The directory itself is one.
    assert_eq!(told[2], ok(json!([31, "insufficient-memory"])));
    assert_eq!(told[4], ok(json!([1, "quota"])));
    // Each listing is in memory; what was closed makes room.
    let told = world.told(json!([["hoard-listings"], ["hoard-listings"]])).await;
    assert_eq!(told, [ok(json!([4, "insufficient-memory"])), ok(json!([4, "insufficient-memory"]))]);
    // A directory stays as deep as it is: down, a tree would become deeper, and up, a handle that is open would take itself for deeper than it is, and
    // could move what is below it down later. Files move freely.
    let told = world
        .told(json!([
            ["rm", "f1"],
            ["rm", "f2"],
            ["mkdir", "x"],
            ["mv", "d", "x/d"],
            ["mv", "f3", "x/f3"],
            ["mv", "d/d", "e"],
            ["mv", "d", "e"],
            ["list", "e"]
        ]))
        .await;
    let done = || ok(Value::Null);
    let elsewhere = || error("cross-device");
    assert_eq!(told[2..], [done(), elsewhere(), done(), elsewhere(), done(), ok(json!(["d"]))]);

    // What an operator put there beyond the bounds can be read and deleted, and nothing added.
    let home = world.home();
    for index in 0..40 {
        std::fs::write(home.join(format!("operator-{index}")), "x").unwrap();
    }
    let told = world
        .told(json!([["read", "operator-0"], ["write", "more", "x"], ["rm", "operator-0"], ["write", "more", "x"]]))
        .await;
    assert_eq!(told, [ok("x"), error("quota"), ok(Value::Null), error("quota")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handle_was_not_opened_for_fails_and_files_have_no_times() {
    let world = FilesWorld::new().open().await;
    let told = world
        .told(json!([
            ["write", "a", "1"],
            ["write-unasked", "a"],
            ["folder-write"],
            ["write", "a/b", "x"],
            ["list", "a"],
            ["read", "a/"],
            ["times", "a"],
            ["set-times", "a"],
            ["read", "."],
            ["read", "a"],
        ]))
        .await;
    assert!(told[1..6].iter().all(|answer| answer.get("error").is_some()), "{told:?}");
    assert_eq!(told[6..8], [ok(false), error("unsupported")]);
    assert!(told[8].get("error").is_some(), "{told:?}");
    assert_eq!(told[9], ok("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_at_once_share_files_and_one_quota() {
    let world = Arc::new(FilesWorld::new().open().await);
    let calls = (0..8).map(|index| {
        let world = Arc::clone(&world);
        async move {
            let lines = json!([["fill", format!("f{index}"), MIB], ["append", "log", 10]]);
            world.told(lines).await
        }
    });
    let told: Vec<Vec<Value>> = together(calls).await;
    let taken: u64 = told.iter().map(|answers| answers[0]["ok"][0].as_u64().unwrap_or_default()).sum();
    let names = std::fs::read_dir(world.home()).unwrap().count() as u64;
    assert!(taken + names * 4096 <= MIB, "{taken} bytes and {names} names");
    assert!(taken + names * 4096 > MIB - 64 * 1024, "and all of it could be used: {taken} bytes and {names} names");
    assert!(blocks_of(&world.home()) <= MIB + 4096);
}

/// Awaits all at once, each on a task of its own.
async fn together<T: Send + 'static>(calls: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = calls.map(|call| tokio::spawn(call)).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_and_a_replay_begin_with_nothing_and_leave_nothing() {
    let world = FilesWorld::new().open().await;
    let lines = json!([["read", "a"], ["write", "a", "dry"], ["read", "a"], ["fill", "b", 2 * MIB]]);
    world.told(json!([["write", "a", "live"]])).await;
    let live = world.act(json!([["read", "a"], ["write", "a", "live"]])).await;
    let dry = world.sandbox.dry_run(call(world.guest, "do", json!({ "do": lines })), &Answers::default()).await;
    let told = dry.outcome.unwrap()["told"].clone();
    assert_eq!((&told[0], &told[2], &told[3]["ok"][1]), (&error("no-entry"), &ok("dry"), &json!("quota")));

    let recording = Recording {
        call: call(world.guest, "do", json!({ "do": [["read", "a"], ["write", "a", "replayed"]] })),
        record: live.record,
        outcome: live
            .outcome
            .map_err(|error| RecordedFailure { code: error.code().into(), message: error.to_string() }),
    };
    let difference = world.sandbox.replay(&recording).await.difference.expect("content is not recorded").to_string();
    assert!(difference.contains("no-entry"), "{difference}");
    assert_eq!(world.told(json!([["read", "a"], ["list", "."]])).await, [ok("live"), ok(json!(["a"]))]);
    let left = std::fs::read_dir(world.directory.path().join("code/passing")).unwrap().count();
    assert_eq!(left, 0, "its directory is gone");
}
