//! How the sender of a webhook proves who it is: a trigger's `verify`. The host looks at it before it hands the request to anybody.

use serde::{Deserialize, Serialize};

use crate::connection::{HmacAlgorithm, HmacSigning, SignatureEncoding};
use crate::id::ConnectionName;

/// What a trigger says about its senders. A trigger that says nothing goes by the secrecy of its URL, too; `unsigned` says that it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Verify {
    /// Whoever knows the URL is believed.
    Unsigned,
    By(Scheme),
}

/// A named way of proving it. Secrets are connections of the kind `webhook-secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scheme {
    /// Standard Webhooks 1.0: HMAC (`v1`) with a secret, Ed25519 (`v1a`) with a public key, or either.
    StandardWebhooks {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<ConnectionName>,
        /// `whpk_…`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    Github {
        secret: ConnectionName,
    },
    Stripe {
        secret: ConnectionName,
    },
    Slack {
        secret: ConnectionName,
    },
    Shopify {
        secret: ConnectionName,
    },
    /// By the keys that HighLevel publishes, unless another one is named.
    Highlevel {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    /// Any other HMAC in a header.
    Hmac {
        secret: ConnectionName,
        header: String,
        #[serde(default)]
        algorithm: HmacAlgorithm,
        #[serde(default)]
        encoding: SignatureEncoding,
        /// Stands before the signature: `sha256=`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
        /// A header with the time in seconds, which is signed before the body, joined by a dot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp_header: Option<String>,
    },
    /// `Authorization: Bearer <secret>`.
    Bearer {
        secret: ConnectionName,
    },
    /// `Authorization: Basic …`, with the secret as the password.
    Basic {
        secret: ConnectionName,
        username: String,
    },
    /// The secret itself in a header or in the query: exactly one of them.
    ApiKey {
        secret: ConnectionName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
}

impl Verify {
    /// The scheme, if there is one.
    pub fn scheme(&self) -> Option<&Scheme> {
        match self {
            Self::Unsigned => None,
            Self::By(scheme) => Some(scheme),
        }
    }
}

impl Scheme {
    /// As texts name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandardWebhooks { .. } => "standard-webhooks",
            Self::Github { .. } => "github",
            Self::Stripe { .. } => "stripe",
            Self::Slack { .. } => "slack",
            Self::Shopify { .. } => "shopify",
            Self::Highlevel { .. } => "highlevel",
            Self::Hmac { .. } => "hmac",
            Self::Bearer { .. } => "bearer",
            Self::Basic { .. } => "basic",
            Self::ApiKey { .. } => "api-key",
        }
    }

    /// The connection with the secrets; none where public keys suffice.
    pub fn secret(&self) -> Option<&ConnectionName> {
        match self {
            Self::StandardWebhooks { secret, .. } => secret.as_ref(),
            Self::Highlevel { .. } => None,
            Self::Github { secret }
            | Self::Stripe { secret }
            | Self::Slack { secret }
            | Self::Shopify { secret }
            | Self::Hmac { secret, .. }
            | Self::Bearer { secret }
            | Self::Basic { secret, .. }
            | Self::ApiKey { secret, .. } => Some(secret),
        }
    }

    /// How a generic HMAC is made.
    pub fn signing(&self) -> Option<HmacSigning> {
        let Self::Hmac { header, algorithm, encoding, prefix, timestamp_header, .. } = self else { return None };
        Some(HmacSigning {
            header: header.clone(),
            algorithm: *algorithm,
            encoding: *encoding,
            prefix: prefix.clone(),
            timestamp_header: timestamp_header.clone(),
        })
    }
}

/// As it stands in the text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Word(Word),
    By(Scheme),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Unsigned,
}

impl TryFrom<Written> for Verify {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(Word::Unsigned) => Ok(Self::Unsigned),
            Written::By(Scheme::ApiKey { header, query, .. }) if header.is_some() == query.is_some() => {
                Err("an API key stands in a `header` or in the `query`: name one of them".to_owned())
            }
            Written::By(Scheme::StandardWebhooks { secret: None, public_key: None }) => {
                Err("`standard-webhooks` needs a `secret`, a `public_key`, or both".to_owned())
            }
            Written::By(scheme) => Ok(Self::By(scheme)),
        }
    }
}

impl From<Verify> for Written {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Unsigned => Self::Word(Word::Unsigned),
            Verify::By(scheme) => Self::By(scheme),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trigger_names_a_scheme_or_says_that_it_is_unsigned() {
        let read = |value| serde_json::from_value::<Verify>(value);
        assert_eq!(read(json!("unsigned")).unwrap(), Verify::Unsigned);
        for (text, name, secret) in [
            (json!({ "scheme": "github", "secret": "hub" }), "github", Some("hub")),
            (json!({ "scheme": "highlevel" }), "highlevel", None),
            (json!({ "scheme": "api-key", "secret": "key", "query": "token" }), "api-key", Some("key")),
            (json!({ "scheme": "standard-webhooks", "public_key": "whpk_x" }), "standard-webhooks", None),
        ] {
            let verify = read(text.clone()).unwrap();
            let scheme = verify.scheme().unwrap();
            assert_eq!((scheme.name(), scheme.secret().map(ConnectionName::as_str)), (name, secret), "{text}");
            assert_eq!(read(serde_json::to_value(&verify).unwrap()).unwrap(), verify, "it is written as it is read");
        }
        for wrong in [
            json!("signed"),
            json!({ "scheme": "github" }),
            json!({ "scheme": "github", "secret": "a", "header": "b" }),
            json!({ "scheme": "api-key", "secret": "a" }),
            json!({ "scheme": "api-key", "secret": "a", "header": "b", "query": "c" }),
            json!({ "scheme": "standard-webhooks" }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
