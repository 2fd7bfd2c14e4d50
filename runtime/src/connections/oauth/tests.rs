//! Tokens against a token endpoint on loopback that does as it is told, reached through the door as in a server.

mod endpoint;
mod ssrf;

use std::sync::atomic::{AtomicBool, Ordering};

use flowcell_core::connection::{Binding, Connection, Connections, Outgoing, State};
use flowcell_core::manual_clock::ManualClock;
use flowcell_core::ports::StoreError;
use flowcell_sandbox::egress::EgressConfig;
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::StaticCatalog;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use self::endpoint::Fake;
use super::super::broker::Change;
use super::*;
use crate::connections::WriteError;
use crate::entropy::SystemEntropy;
use crate::vault::{MasterKey, Vault};

/// A store on a disk that can be full.
#[derive(Default)]
struct Disk {
    store: MemoryStore,
    is_full: AtomicBool,
}

#[async_trait]
impl Connections for Disk {
    async fn put(&self, connection: StoredConnection) -> Result<(), StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::NoSpace { free_bytes: 0 });
        }
        self.store.put(connection).await
    }
    async fn get(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Option<StoredConnection>, StoreError> {
        self.store.get(workspace, name).await
    }
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError> {
        self.store.list(workspace).await
    }
    async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError> {
        self.store.remove(workspace, name).await
    }
}

struct Lab {
    clock: Arc<ManualClock>,
    disk: Arc<Disk>,
    broker: Arc<Broker>,
    door: Door,
    tokens: Arc<Tokens>,
}

/// No workflow uses it.
fn nobody() -> Users {
    Users::among(Arc::new(MemoryStore::new()), StaticCatalog::of([]))
}

fn place() -> Place {
    (WorkspaceId::default_workspace(), "crm".parse().unwrap())
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let config = EgressConfig { allow_addresses: vec!["127.0.0.1/32".parse().unwrap()], ..EgressConfig::default() };
        let door = Door::new(config, Arc::clone(&clock) as _);
        Self::with(clock, door)
    }

    fn with(clock: Arc<ManualClock>, door: Door) -> Self {
        clock.set(Timestamp::from_millis(1_764_000_000_000));
        let disk = Arc::new(Disk::default());
        let vault = Vault::new(MasterKey::generate(&SystemEntropy), None, Arc::new(SystemEntropy));
        let broker = Arc::new(Broker::new(Arc::clone(&disk) as _, vault, Arc::clone(&clock) as _));
        let tokens = Arc::new(Tokens::new(Arc::clone(&broker), nobody(), door.clone(), Arc::clone(&clock) as _));
        Self { clock, disk, broker, door, tokens }
    }

    /// The same disk after a crash.
    fn restart(&mut self) {
        self.tokens =
            Arc::new(Tokens::new(Arc::clone(&self.broker), nobody(), self.door.clone(), Arc::clone(&self.clock) as _));
    }

    async fn add(&self, kind: Value, secret: Value) {
        let kind: Kind = serde_json::from_value(kind).unwrap();
        let secret = SecretDocument::read(&kind, secret.to_string().as_bytes()).ok().unwrap();
        let (workspace, name) = place();
        let now = self.clock.now();
        let connection = Connection {
            workspace,
            name,
            kind,
            bound: Binding {
                hosts: vec!["https://api.example".parse().unwrap()],
                anywhere: false,
                plugins: Vec::new(),
            },
            note: String::new(),
            state: State::Ready,
            created_at: now,
            updated_at: now,
        };
        self.broker.add(connection, &secret).await.unwrap();
    }

    /// One whose owner has consented, with an access token that ends in ten minutes and the refresh token `r0`.
    async fn consented(fake: &Fake) -> Self {
        let lab = Self::new();
        let until = lab.clock.now() + Duration::from_mins(10);
        let secret = json!({ "client_secret": "c", "access_token": "a0", "refresh_token": "r0", "expires_at": until });
        lab.add(code_kind(&fake.url()), secret).await;
        lab
    }

    fn pass(&self, time: Duration) {
        self.clock.set(self.clock.now() + time);
    }

    async fn stored(&self) -> StoredConnection {
        let (workspace, name) = place();
        self.broker.get(&workspace, &name).await.unwrap().unwrap()
    }

    async fn secret(&self) -> OauthSecret {
        match self.broker.open(&self.stored().await) {
            Ok(SecretDocument::Oauth(secret)) => secret,
            _ => panic!("no secret of OAuth"),
        }
    }

    async fn refresh_token(&self) -> String {
        self.secret().await.refresh_token.unwrap().expose().clone()
    }

    async fn authorizer(&self) -> Result<Arc<dyn Authorizer>, CredentialError> {
        self.tokens.authorizer_for_owner(self.stored().await).await
    }

    /// The token that a call gets now, or the code of its error.
    async fn token(&self) -> Result<String, CredentialError> {
        self.sent(&*self.authorizer().await?).await
    }

    async fn sent(&self, authorizer: &dyn Authorizer) -> Result<String, CredentialError> {
        let url = "https://api.example/".parse().unwrap();
        let now = self.clock.now();
        let added =
            authorizer.authorize(&Outgoing { method: "GET", url: &url, body: b"", message_id: "m", now }).await?;
        let (name, value) = added.headers.first().unwrap();
        assert_eq!(name, "authorization");
        Ok(value.expose().strip_prefix("Bearer ").unwrap().to_owned())
    }

    async fn change(&self, change: impl Fn(&mut Connection, &mut SecretDocument)) {
        let (workspace, name) = place();
        let changed = self.broker.change::<WriteError>(&workspace, &name, |stored| {
            let (mut connection, mut secret) = (stored.connection.clone(), self.broker.open(stored)?);
            change(&mut connection, &mut secret);
            Ok(Change { connection, usage: stored.usage.clone(), secret: Some(secret) })
        });
        changed.await.unwrap();
    }
}

fn code_kind(token_url: &str) -> Value {
    json!({ "kind": "oauth-code", "settings": {
        "authorize_url": "https://id.example/auth", "token_url": token_url, "client_id": "flow",
    }})
}

fn client_kind(token_url: &str) -> Value {
    json!({ "kind": "oauth-client-credentials", "settings": { "token_url": token_url, "client_id": "flow" } })
}

#[tokio::test]
async fn fifty_calls_at_once_make_one_request() {
    let fake = Fake::numbered(3_600).await;
    let lab = Arc::new(Lab::consented(&fake).await);
    lab.pass(Duration::from_mins(11));
    fake.hold();
    let tasks = TaskTracker::new();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let lab = Arc::clone(&lab);
            tasks.spawn(async move { lab.token().await })
        })
        .collect();
    fake.until(1).await;
    fake.release();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "a1");
    }
    assert_eq!(fake.requests().len(), 1);
    assert_eq!(lab.refresh_token().await, "r1");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_what_was_held_goes_on_until_then() {
    let fake = Fake::numbered(3_600).await;
    let lab = Lab::consented(&fake).await;
    assert_eq!(lab.token().await.unwrap(), "a0", "from the disk, without a request");
    let during = lab.authorizer().await.unwrap();
    lab.pass(Duration::from_mins(10));
    assert_eq!(lab.token().await.unwrap(), "a1");
    // A call that began with the old one takes the new one.
    assert_eq!(lab.sent(&*during).await.unwrap(), "a1");
    let masked: Vec<String> = during.secrets().iter().map(|secret| secret.expose().clone()).collect();
    assert_eq!(masked, ["a0", "a1"], "a peer may echo either");
    lab.pass(Duration::from_secs(3_600 - 61));
    assert_eq!(lab.token().await.unwrap(), "a1");
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.token().await.unwrap(), "a2", "a minute before its end");
    assert_eq!(fake.requests().len(), 2);
    let first = &fake.requests()[0];
    assert_eq!((first["grant_type"].as_str(), first["refresh_token"].as_str()), ("refresh_token", "r0"));
    assert_eq!(fake.requests()[1]["refresh_token"], "r1");
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_for_all_that_had_it() {
    let fake = Fake::numbered(3_600).await;
    let lab = Lab::consented(&fake).await;
    let (one, other) = (lab.authorizer().await.unwrap(), lab.authorizer().await.unwrap());
    assert_eq!(lab.sent(&*one).await.unwrap(), "a0");
    assert!(one.refused().await.unwrap() && other.refused().await.unwrap());
    assert_eq!((lab.sent(&*one).await.unwrap(), lab.sent(&*other).await.unwrap()), ("a1".into(), "a1".into()));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_peer_that_refuses_every_token_makes_no_storm_of_renewals() {
    let fake = Fake::numbered(3_600).await;
    let lab = Lab::consented(&fake).await;
    let mut renewed = 0;
    for _ in 0..20 {
        let call = lab.authorizer().await.unwrap();
        lab.sent(&*call).await.unwrap();
        renewed += usize::from(call.refused().await.unwrap());
    }
    assert_eq!((renewed, fake.requests().len()), (FORCED_MAX, FORCED_MAX));
    assert_eq!(lab.stored().await.connection.state, State::Ready, "its 401 may be about something else");
    lab.pass(FORCED_WITHIN);
    let call = lab.authorizer().await.unwrap();
    assert!(call.refused().await.unwrap());
    assert_eq!(fake.requests().len(), FORCED_MAX + 1);
}

#[tokio::test]
async fn what_is_known_of_tokens_that_nobody_uses_is_given_up() {
    let fake = Fake::numbered(60).await;
    let lab = Lab::consented(&fake).await;
    lab.token().await.unwrap();
    let known = || lab.tokens.flights.lock().unwrap().len();
    for number in 0..50 {
        drop(lab.tokens.flight(&(place().0, format!("c-{number}").parse().unwrap())));
    }
    assert_eq!(known(), 2, "the token that is good yet, and the last one asked for");
    lab.pass(Duration::from_hours(1));
    drop(lab.tokens.flight(&(place().0, "late".parse().unwrap())));
    assert_eq!(known(), 1);
}

#[tokio::test]
async fn client_credentials_are_asked_for_again_and_never_written() {
    let fake = Fake::numbered(3_600).await;
    let mut lab = Lab::new();
    lab.add(client_kind(&fake.url()), json!({ "client_secret": "c" })).await;
    assert_eq!((lab.token().await.unwrap(), lab.token().await.unwrap()), ("a1".into(), "a1".into()));
    assert_eq!(lab.stored().await.revision, 1);
    lab.restart();
    assert_eq!(lab.token().await.unwrap(), "a2");
    // Whoever is given another secret does not go on with the token of the one before.
    lab.pass(Duration::from_secs(1));
    lab.change(|_, secret| *secret = oauth(OauthSecret { client_secret: text("d"), ..OauthSecret::default() })).await;
    assert_eq!(lab.token().await.unwrap(), "a3");
}

fn oauth(secret: OauthSecret) -> SecretDocument {
    SecretDocument::Oauth(secret)
}

#[expect(clippy::unnecessary_wraps, reason = "as the documents have them")]
fn text(text: &str) -> Option<Secret<String>> {
    Some(Secret::new(text.to_owned()))
}

#[tokio::test]
async fn nothing_is_handed_out_that_could_not_be_written_and_a_full_disk_loses_nothing() {
    let fake = Fake::numbered(3_600).await;
    let lab = Lab::consented(&fake).await;
    lab.pass(Duration::from_mins(11));
    lab.disk.is_full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = lab.token().await.unwrap_err();
        assert_eq!(error.code(), "connection-unavailable");
        assert!(error.to_string().contains("could not be written down: the disk is nearly full"), "{error}");
    }
    assert_eq!((fake.requests().len(), lab.refresh_token().await), (1, "r0".to_owned()));
    lab.disk.is_full.store(false, Ordering::SeqCst);
    assert_eq!(lab.token().await.unwrap(), "a1");
    assert_eq!((fake.requests().len(), lab.refresh_token().await), (1, "r1".to_owned()));
}

#[tokio::test]
async fn what_is_refused_for_good_needs_its_owner_and_is_not_asked_again() {
    let fake = Fake::answering(|_, _| (400, json!({ "error": "invalid_grant" }))).await;
    let lab = Lab::consented(&fake).await;
    lab.pass(Duration::from_mins(11));
    for _ in 0..2 {
        let error = lab.token().await.unwrap_err();
        assert_eq!(error.code(), "connection-needs-reconnecting");
        assert!(error.to_string().contains("invalid_grant"), "{error}");
    }
    assert_eq!(fake.requests().len(), 1);
    let State::NeedsReconnecting { reason, .. } = lab.stored().await.connection.state else { panic!("it is ready") };
    assert!(reason.contains("127.0.0.1 refuses to give a token: invalid_grant"), "{reason}");
    assert_eq!(lab.refresh_token().await, "r0");
}

#[tokio::test]
async fn what_time_will_mend_leaves_the_connection_as_it_is() {
    let fake = Fake::answering(|number, _| match number {
        1 => (503, json!({})),
        _ => (200, json!({ "access_token": "a1", "expires_in": 60 })),
    })
    .await;
    let lab = Lab::consented(&fake).await;
    lab.pass(Duration::from_mins(11));
    assert_eq!(lab.token().await.unwrap_err().code(), "connection-unavailable");
    assert_eq!(lab.stored().await.connection.state, State::Ready);
    assert_eq!(lab.token().await.unwrap(), "a1");
    assert_eq!(lab.refresh_token().await, "r0", "one that is not replaced stays");
}

#[tokio::test]
async fn a_redirect_of_a_token_endpoint_is_not_followed() {
    let fake = Fake::answering(|_, _| (307, json!({ "access_token": "a1" }))).await;
    let lab = Lab::consented(&fake).await;
    lab.pass(Duration::from_mins(11));
    let error = lab.token().await.unwrap_err();
    assert!(error.to_string().contains("answered 307, a redirect, which is not followed"), "{error}");
    assert_eq!(fake.requests().len(), 1);
}

/// The other side as the standard wants it: a refresh token is good once.
async fn strict() -> Fake {
    Fake::answering(|number, form| {
        let next = number.to_string();
        let good = format!("r{}", number - 1);
        match form.get("refresh_token").map(String::as_str) {
            Some(token) if token == good => (200, granted(&next)),
            None if form.get("code").is_some_and(|code| code == "consent") => (200, granted(&next)),
            _ => (400, json!({ "error": "invalid_grant", "error_description": "used before" })),
        }
    })
    .await
}

fn granted(number: &str) -> Value {
    json!({ "access_token": format!("a{number}"), "refresh_token": format!("r{number}"), "expires_in": 3600, "token_type": "Bearer" })
}

#[tokio::test]
async fn a_crash_between_answer_and_disk_is_said_clearly_and_consent_repairs_it() {
    let fake = strict().await;
    let mut lab = Lab::consented(&fake).await;
    lab.pass(Duration::from_mins(11));
    lab.disk.is_full.store(true, Ordering::SeqCst);
    lab.token().await.unwrap_err();
    lab.disk.is_full.store(false, Ordering::SeqCst);
    // What was only in memory is gone.
    lab.restart();
    let error = lab.token().await.unwrap_err();
    assert_eq!(error.code(), "connection-needs-reconnecting");
    assert!(error.to_string().contains("invalid_grant (used before)"), "{error}");
    lab.pass(Duration::from_secs(1));
    let back = consent::Return::of(place(), Secret::new("v".to_owned()));
    let redirect: url::Url = "https://flow.example/oauth/callback".parse().unwrap();
    let code = Secret::new("consent".to_owned());
    let connected = lab.tokens.connect(back, code, redirect).await.ok().unwrap();
    assert!(connected.can_renew && connected.stored.connection.state == State::Ready);
    let asked = fake.requests().pop().unwrap();
    assert_eq!(asked["redirect_uri"], "https://flow.example/oauth/callback");
    assert_eq!((asked["code_verifier"].as_str(), asked["grant_type"].as_str()), ("v", "authorization_code"));
    assert_eq!(lab.token().await.unwrap(), "a3");
    lab.pass(Duration::from_hours(1));
    assert_eq!(lab.token().await.unwrap(), "a4");
}

/// A call whose renewal has reached the token endpoint, which does not answer until it is released.
async fn renewing() -> (Fake, Arc<Lab>, JoinHandle<Result<String, CredentialError>>) {
    let fake = Fake::numbered(3_600).await;
    let lab = Arc::new(Lab::consented(&fake).await);
    lab.pass(Duration::from_mins(11));
    fake.hold();
    let call = TaskTracker::new().spawn({
        let lab = Arc::clone(&lab);
        async move { lab.token().await }
    });
    fake.until(1).await;
    (fake, lab, call)
}

#[tokio::test]
async fn another_client_secret_during_a_renewal_keeps_both_it_and_the_new_refresh_token() {
    let (fake, lab, call) = renewing().await;
    lab.pass(Duration::from_secs(1));
    lab.change(|connection, secret| {
        connection.note = "mine".to_owned();
        let SecretDocument::Oauth(secret) = secret else { panic!("no secret of OAuth") };
        secret.client_secret = text("another");
    })
    .await;
    fake.release();
    assert_eq!(call.await.unwrap().unwrap(), "a1");
    assert_eq!((lab.refresh_token().await.as_str(), lab.stored().await.connection.note.as_str()), ("r1", "mine"));
    assert_eq!(lab.secret().await.client_secret.unwrap().expose(), "another");
}

#[tokio::test]
async fn a_consent_during_a_renewal_is_not_overwritten_by_it() {
    let (fake, lab, call) = renewing().await;
    lab.pass(Duration::from_secs(1));
    lab.change(|_, secret| {
        let SecretDocument::Oauth(secret) = secret else { panic!("no secret of OAuth") };
        (secret.access_token, secret.refresh_token, secret.expires_at) = (text("fresh"), text("r-fresh"), None);
    })
    .await;
    fake.release();
    assert_eq!(call.await.unwrap().unwrap(), "fresh");
    assert_eq!(lab.refresh_token().await, "r-fresh");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_its_renewal_to_finish_and_closing_waits_for_it() {
    let (fake, lab, call) = renewing().await;
    call.abort();
    let closed = TaskTracker::new().spawn({
        let lab = Arc::clone(&lab);
        async move { lab.tokens.close().await }
    });
    tokio::task::yield_now().await;
    assert!(!closed.is_finished());
    fake.release();
    closed.await.unwrap();
    assert_eq!(lab.refresh_token().await, "r1");
}

/// A key that was made for this test and protects nothing.
const RSA: &str = include_str!("tests/rsa.pem");

#[tokio::test]
async fn a_service_account_signs_what_google_wants() {
    let fake = Fake::numbered(3_600).await;
    let lab = Lab::new();
    let kind = json!({ "kind": "google-service-account", "settings": {
        "client_email": "flow@project.example", "token_url": fake.url(), "scopes": ["https://s/a", "https://s/b"],
    }});
    lab.add(kind, json!({ "private_key": RSA })).await;
    assert_eq!(lab.token().await.unwrap(), "a1");
    let form = fake.requests().pop().unwrap();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form.len(), 2, "{form:?}");
    let (message, signature) = form["assertion"].rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let read = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT" }));
    let now = lab.clock.now().as_millis() / 1_000;
    let expected = json!({
        "iss": "flow@project.example", "scope": "https://s/a https://s/b", "aud": fake.url(), "iat": now, "exp": now + 3_600,
    });
    assert_eq!(read(claims), expected);
    let der: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    let key = ring::rsa::KeyPair::from_pkcs8(&data_encoding::BASE64.decode(der.as_bytes()).unwrap()).unwrap();
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key.public());
    public.verify(message.as_bytes(), &decode(signature)).unwrap();
    public.verify(claims.as_bytes(), &decode(signature)).unwrap_err();
}
