//! HighLevel: `X-GHL-Signature` (Ed25519), or the older `X-WH-Signature` (RSA with SHA-256), in base64 over the body. It signs no time.

use super::public_key::PublicKey;
use super::read::{Notation, header, signature};
use super::{Presented, Proof, Refusal};

const ED25519: &str = "x-ghl-signature";
const RSA: &str = "x-wh-signature";

/// HighLevel's keys, the same for every app, from its webhook integration guide (marketplace.gohighlevel.com). The older one is going out of use
/// since July 2026.
const PUBLISHED_ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=\n-----END PUBLIC KEY-----";
const PUBLISHED_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAokvo/r9tVgcfZ5DysOSC
Frm602qYV0MaAiNnX9O8KxMbiyRKWeL9JpCpVpt4XHIcBOK4u3cLSqJGOLaPuXw6
dO0t6Q/ZVdAV5Phz+ZtzPL16iCGeK9po6D6JHBpbi989mmzMryUnQJezlYJ3DVfB
csedpinheNnyYeFXolrJvcsjDtfAeRx5ByHQmTnSdFUzuAnC9/GepgLT9SM4nCpv
uxmZMxrJt5Rw+VUaQ9B8JSvbMPpez4peKaJPZHBbU3OdeCVx5klVXXZQGNHOs8gF
3kvoV5rTnXV0IknLBXlcKKAQLZcY/Q9rG6Ifi9c+5vqlvHPCUJFT5XUGG5RKgOKU
J062fRtN+rLYZUV+BjafxQauvC8wSWeYja63VSUruvmNj8xkx2zE/Juc+yjLjTXp
IocmaiFeAO6fUtNjDeFVkhf5LNb59vECyrHD2SQIrhgXpO4Q3dVNA5rw576PwTzN
h/AMfHKIjE4xQA1SZuYJmNnmVZLIZBlQAF9Ntd03rfadZ+yDiOXCCs9FkHibELhC
HULgCsnuDJHcrGNd5/Ddm5hxGQ0ASitgHeMZ0kcIOwKDOzOU53lDza6/Y09T7sYJ
PQe7z0cvj7aE4B+Ax1ZoZGPzpJlZtGXCsu9aTEGEnKzmsFqwcSsnw3JB31IGKAyk
T1hhTiaCeIY/OwwwNUY2yvcCAwEAAQ==
-----END PUBLIC KEY-----";

pub(super) fn check(request: &Presented<'_>, keys: &[PublicKey]) -> Result<Proof, Refusal> {
    // With the newer header there, the older one counts for nothing: nobody may choose the weaker one for us.
    let is_older = !request.headers.contains_key(ED25519) && request.headers.contains_key(RSA);
    let name = if is_older { RSA } else { ED25519 };
    let given = signature(name, header(request, name)?, Notation::Base64)?;
    let fits = |key: &PublicKey| matches!(key, PublicKey::Rsa(_)) == is_older && key.verifies(request.body, &given);
    if keys.iter().any(fits) {
        return Ok(Proof::PublicKey);
    }
    let hint = keys.iter().all(|key| matches!(key, PublicKey::Rsa(_)) != is_older);
    let hint = hint.then(|| format!("the trigger's `public_key` is not of the kind that `{name}` is made with"));
    Err(Refusal::NoMatch { hint })
}

pub(super) fn public_keys(text: Option<&str>) -> Result<Vec<PublicKey>, String> {
    match text {
        Some(text) => Ok(vec![PublicKey::from_pem(text)?]),
        None => [PUBLISHED_ED25519, PUBLISHED_RSA].into_iter().map(PublicKey::from_pem).collect(),
    }
}
