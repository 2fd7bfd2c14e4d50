//! Webhook triggers that register their URL at the provider: `subscribes = true` in `plugin.toml`, `subscriptions: { "paid" => (subscribe, unsubscribe) }` in
//! `plugin!`.

use std::time::Duration;

/// What is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe<R> {
    /// Where the provider shall send requests.
    pub callback_url: String,
    /// What came of the time before. Registering again must not register twice.
    pub registration: Option<R>,
}

/// The URL stands at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription<R> {
    /// What `unsubscribe` needs; at most 16 KiB as JSON. It may be shown to people: secrets do not belong here.
    pub registration: R,
    /// The provider forgets it after that, so the host subscribes again before.
    pub renew_before: Option<Duration>,
}
