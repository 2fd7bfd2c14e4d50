//! `key-value` in memory, with the harness's clock.

use std::collections::BTreeMap;

use crate::HostError;
use crate::key_value::{Entry, Expected, Namespace};

#[derive(Debug, Default)]
pub(super) struct Values {
    entries: BTreeMap<(Namespace, String), Entry<String>>,
    versions: u64,
    pub(super) now_ms: u64,
}

impl Values {
    pub(super) fn get(&self, namespace: Namespace, key: &str) -> Option<Entry<String>> {
        let entry = self.entries.get(&(namespace, key.to_owned()))?;
        entry.expires_at_ms.is_none_or(|at| self.now_ms < at).then(|| entry.clone())
    }

    pub(super) fn set(
        &mut self,
        (namespace, key): (Namespace, &str),
        value: &str,
        ttl_ms: Option<u64>,
        expected: Expected,
    ) -> Result<u64, HostError> {
        self.hold_against((namespace, key), expected)?;
        self.versions += 1;
        let expires_at_ms = ttl_ms.map(|ttl| self.now_ms.saturating_add(ttl));
        let entry = Entry { value: value.to_owned(), version: self.versions, expires_at_ms };
        self.entries.insert((namespace, key.to_owned()), entry);
        Ok(self.versions)
    }

    pub(super) fn delete(&mut self, place: (Namespace, &str), expected: Expected) -> Result<bool, HostError> {
        self.hold_against(place, expected)?;
        let was_there = self.get(place.0, place.1).is_some();
        self.entries.remove(&(place.0, place.1.to_owned()));
        Ok(was_there)
    }

    pub(super) fn add(&mut self, place: (Namespace, &str), delta: i64, ttl_ms: Option<u64>) -> Result<i64, HostError> {
        let before = self.get(place.0, place.1);
        let number = match &before {
            Some(entry) => entry.value.parse::<i64>().map_err(|_| {
                HostError::new("conflict", format!("what is stored under `{}` is no whole number", place.1))
            })?,
            None => 0,
        };
        let sum =
            number.checked_add(delta).ok_or_else(|| HostError::new("conflict", "the sum does not fit 64 bits"))?;
        let left = before.and_then(|entry| entry.expires_at_ms).map(|at| at - self.now_ms);
        self.set(place, &sum.to_string(), ttl_ms.or(left), Expected::Anything)?;
        Ok(sum)
    }

    pub(super) fn keys(&self, namespace: Namespace, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let keys = self.entries.keys().filter(|(other, _)| *other == namespace).map(|(_, key)| key);
        keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .filter(|key| self.get(namespace, key).is_some())
            .take(limit as usize)
            .cloned()
            .collect()
    }

    fn hold_against(&self, (namespace, key): (Namespace, &str), expected: Expected) -> Result<(), HostError> {
        let there = self.get(namespace, key).map(|entry| entry.version);
        let fits = match expected {
            Expected::Anything => true,
            Expected::Absent => there.is_none(),
            Expected::Version(version) => there == Some(version),
        };
        if fits {
            Ok(())
        } else {
            Err(HostError::new("conflict", format!("`{key}` is not as expected: it has {there:?}")))
        }
    }
}
