//! Another secret in the place of one. Where the other side may still have the old one, both count for a while.

use std::time::Duration;

use flowcell_core::time::Timestamp;

use super::document::{SecretDocument, SigningSecrets, TimedSecret};

/// How long the secret before counts, when nobody says: a week, so that whoever is away for some days finds it working.
pub(crate) const OVERLAP: Duration = Duration::from_hours(7 * 24);

/// The longest overlap: whatever needs more than a year is no rotation.
pub(crate) const OVERLAP_MAX: Duration = Duration::from_hours(366 * 24);

/// Secrets that count at the same time: each makes a signature, and every message carries all of them.
const KEPT_MAX: usize = 5;

/// What is sealed from now on, `now`, at which `new` takes the place of `old` and `old` counts until `until`.
pub(crate) fn rotated(old: SecretDocument, new: SecretDocument, now: Timestamp, until: Timestamp) -> SecretDocument {
    match (old, new) {
        (SecretDocument::Signing(old), SecretDocument::Signing(new)) => SecretDocument::Signing(SigningSecrets {
            secrets: followed(new.secrets, old.secrets, (now, until)),
            // Who gives a secret alone goes on with the key that receivers know.
            signing_keys: if new.signing_keys.is_empty() {
                old.signing_keys
            } else {
                followed(new.signing_keys, old.signing_keys, (now, until))
            },
        }),
        (_, new) => new,
    }
}

/// The new ones, then those that still count, each until its time.
fn followed(new: Vec<TimedSecret>, old: Vec<TimedSecret>, (now, until): (Timestamp, Timestamp)) -> Vec<TimedSecret> {
    let old = old.into_iter().map(|secret| {
        let valid_until = Some(secret.valid_until.map_or(until, |earlier| earlier.min(until)));
        TimedSecret { valid_until, ..secret }
    });
    let known = |secret: &TimedSecret| !new.iter().any(|one| one.value.expose() == secret.value.expose());
    let kept: Vec<_> = old.filter(|secret| secret.is_valid(now) && known(secret)).collect();
    new.into_iter().chain(kept).take(KEPT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::secret::Secret;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn signing(secrets: &[&str], keys: &[&str]) -> SecretDocument {
        let current =
            |texts: &[&str]| texts.iter().map(|text| TimedSecret::current(Secret::new((*text).to_owned()))).collect();
        SecretDocument::Signing(SigningSecrets { secrets: current(secrets), signing_keys: current(keys) })
    }

    fn shown(document: &SecretDocument) -> String {
        let SecretDocument::Signing(signing) = document else { return "other".to_owned() };
        let list = |secrets: &[TimedSecret]| {
            let one = |secret: &TimedSecret| match secret.valid_until {
                Some(until) => format!("{}<{}", secret.value.expose(), until.since(at(0)).as_millis()),
                None => secret.value.expose().clone(),
            };
            secrets.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        format!("{} | {}", list(&signing.secrets), list(&signing.signing_keys))
    }

    #[test]
    fn the_secret_before_counts_until_the_overlap_ends() {
        let first = rotated(signing(&["a"], &["k"]), signing(&["b"], &["l"]), at(0), at(100));
        assert_eq!(shown(&first), "b a<100 | l k<100");
        let second = rotated(first.clone(), signing(&["c"], &[]), at(50), at(200));
        assert_eq!(shown(&second), "c b<200 a<100 | l k<100", "nobody's time is prolonged, and keys stay");
        let third = rotated(second, signing(&["d"], &[]), at(150), at(160));
        assert_eq!(shown(&third), "d c<160 b<160 | l k<100");
        let leaked = rotated(third, signing(&["e"], &["m"]), at(155), at(155));
        assert_eq!(shown(&leaked), "e | m", "without an overlap the old one is gone at once");
        assert_eq!(shown(&rotated(signing(&["a"], &[]), signing(&["a"], &[]), at(0), at(9))), "a | ");
    }

    #[test]
    fn only_so_many_count_at_a_time_and_other_kinds_are_replaced() {
        let mut document = signing(&["0"], &[]);
        for number in 1..10 {
            document = rotated(document, signing(&[&number.to_string()], &[]), at(0), at(9));
        }
        assert_eq!(shown(&document), "9 8<9 7<9 6<9 5<9 | ");
        let bearer = |token: &str| SecretDocument::Bearer { token: Secret::new(token.to_owned()) };
        let replaced = rotated(bearer("a"), bearer("b"), at(0), at(9));
        assert!(matches!(replaced, SecretDocument::Bearer { token } if token.expose() == "b"));
    }
}
