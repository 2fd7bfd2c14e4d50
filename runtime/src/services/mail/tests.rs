//! Against a real mail server: aiosmtpd (`tests/tools/smtp.py`), which `cargo xtask tools` sets up.

mod server;

use std::net::IpAddr;

use flowcell_core::connection::{Binding, SmtpTls};
use flowcell_core::host_call::mail::Attachment;
use flowcell_core::ports::StoreError;
use flowcell_core::secret::Secret;
use flowcell_sandbox::egress::EgressConfig;
use flowcell_store::memory::MemoryStore;

use self::server::SmtpServer;
use super::*;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::vault::{MasterKey, Vault};

const CA: &str = include_str!("../../../../tests/tools/smtp/ca.pem");

struct Bench {
    mailer: Arc<Mailer>,
    broker: Arc<Broker>,
    workspace: WorkspaceId,
    plugin: PluginId,
    name: ConnectionName,
}

/// What a connection is made of.
struct Made {
    tls: SmtpTls,
    host: &'static str,
    ca: Option<&'static str>,
    password: &'static str,
}

const LOCAL: Made = Made { tls: SmtpTls::None, host: "127.0.0.1", ca: None, password: "s3cret" };

impl Bench {
    async fn new(port: u16, made: Made) -> Self {
        Self::with(
            port,
            made,
            EgressConfig { allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..EgressConfig::default() },
        )
        .await
    }

    async fn with(port: u16, made: Made, egress: EgressConfig) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Vault::new(MasterKey::generate(&SystemEntropy), None, Arc::new(SystemEntropy));
        let broker = Arc::new(Broker::new(Arc::clone(&store) as _, vault, Arc::clone(&clock)));
        let (workspace, plugin) =
            (WorkspaceId::default_workspace(), "flowcell/notifications".parse::<PluginId>().unwrap());
        let connection = Connection {
            workspace: workspace.clone(),
            name: "mailer".parse().unwrap(),
            kind: Kind::Smtp {
                host: made.host.to_owned(),
                port,
                tls: made.tls,
                username: "ana@example.com".to_owned(),
                sender: None,
                ca: made.ca.map(str::to_owned),
            },
            bound: Binding { hosts: Vec::new(), anywhere: false, plugins: vec![plugin.clone()] },
            note: String::new(),
            state: State::Ready,
            created_at: clock.now(),
            updated_at: clock.now(),
        };
        let name = connection.name.clone();
        let password = Secret::new(made.password.to_owned());
        broker.add(connection, &SecretDocument::Password { password }).await.unwrap();
        let door = Door::new(egress, Arc::clone(&clock));
        let mailer = Mailer::new(Arc::clone(&broker), door, store as _, clock);
        Self { mailer, broker, workspace, plugin, name }
    }

    async fn send(&self, key: &str, message: Message) -> Result<Receipt, Failure> {
        let sender = Sender {
            workspace: &self.workspace,
            plugin: &self.plugin,
            connection: Some(&self.name),
            key,
            deadline: self.mailer.clock.now() + Duration::from_mins(1),
        };
        self.mailer.send(sender, message).await
    }

    async fn state(&self) -> State {
        self.broker.get(&self.workspace, &self.name).await.unwrap().unwrap().connection.state
    }
}

fn to(addresses: &[&str]) -> Message {
    Message {
        to: addresses.iter().map(|address| (*address).to_owned()).collect(),
        subject: "Grüße".to_owned(),
        text: Some("Hallo Zoë\n.\nEnde".to_owned()),
        ..Message::default()
    }
}

#[tokio::test]
async fn a_mail_with_all_its_parts_arrives_and_is_sent_once() {
    let server = SmtpServer::start("none");
    let bench = Bench::new(server.port, LOCAL).await;
    let message = Message {
        to: vec!["Zoë Ng <zoe@example.com>".to_owned()],
        cc: vec!["ben@example.com".to_owned(), "zoe@example.com".to_owned()],
        bcc: vec!["boss@example.com".to_owned()],
        reply_to: Some("help@example.com".to_owned()),
        html: Some("<b>Hallo</b>".to_owned()),
        attachments: vec![Attachment::new("Rechnung 7.pdf", "application/pdf", vec![0, 255, 13, 10])],
        ..to(&[])
    };
    let receipt = bench.send("k/1", message.clone()).await.unwrap();
    assert_eq!(receipt.accepted, ["zoe@example.com", "ben@example.com", "boss@example.com"]);
    assert_eq!((receipt.rejected.len(), receipt.repeated), (0, false));
    let again = bench.send("k/1", message.clone()).await.unwrap();
    assert_eq!(again, Receipt { repeated: true, ..receipt.clone() });
    let other = bench.send("k/2", message).await.unwrap();
    assert_ne!(other.message_id, receipt.message_id);
    let [first, second] = <[_; 2]>::try_from(server.wait_for(2)).unwrap();
    assert_eq!((&first["message_id"], &second["message_id"]), (&receipt.message_id.into(), &other.message_id.into()));
    assert_eq!((&first["from"], &first["signed_in"]), (&"ana@example.com".into(), &true.into()));
    let data = first["data"].as_str().unwrap();
    for part in [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
        "Rechnung 7.pdf",
        "AP8NCg==",
        "Reply-To: help@example.com",
        "Cc: ben@example.com",
    ] {
        assert!(data.contains(part), "{part} is missing:\n{data}");
    }
    assert!(!data.contains("boss@example.com"), "{data}");
}

#[tokio::test]
async fn both_ways_of_encryption_check_the_certificate() {
    for (mode, tls) in [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit)] {
        let server = SmtpServer::start(mode);
        let good = Made { tls, ca: Some(CA), ..LOCAL };
        let receipt = Bench::new(server.port, good).await.send("k", to(&["zoe@example.com"])).await.unwrap();
        assert_eq!(server.wait_for(1)[0]["encrypted"], true);
        assert!(receipt.message_id.ends_with("@example.com>"), "{receipt:?}");
        let unknown = Made { tls, ca: None, ..LOCAL };
        let refused = Bench::new(server.port, unknown).await.send("k", to(&["zoe@example.com"])).await.unwrap_err();
        assert!(refused.message.contains("TLS") && !refused.retryable, "{mode}: {refused:?}");
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_password_nor_mail() {
    let server = SmtpServer::start("none");
    let wants_tls = Made { tls: SmtpTls::Starttls, ca: Some(CA), ..LOCAL };
    let refused = Bench::new(server.port, wants_tls).await.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert!(refused.message.contains("offers no STARTTLS") && !refused.retryable, "{refused:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_password_that_is_not_taken_makes_the_connection_wait_for_its_owner() {
    let server = SmtpServer::start("none");
    let bench = Bench::new(server.port, Made { password: "wrong", ..LOCAL }).await;
    let refused = bench.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert_eq!(refused.code, "unauthorized", "{refused:?}");
    assert!(
        matches!(refused.credentials.as_deref(), Some(CredentialError::NeedsReconnecting { name, reason, .. }) if *name == bench.name && reason.contains("535"))
    );
    assert!(refused.message.contains("`mailer`") && !refused.message.contains("wrong"), "{refused:?}");
    assert!(matches!(bench.state().await, State::NeedsReconnecting { .. }));
    // The server is not asked again.
    let again = bench.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert_eq!(again.code, "unauthorized");
    let stored = bench.broker.get(&bench.workspace, &bench.name).await.unwrap().unwrap();
    let tried = bench.mailer.try_out(&stored, SystemClock.now() + Duration::from_secs(30)).await.unwrap_err();
    assert!(tried.message.contains("535"), "{tried:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn what_a_server_says_of_recipients_is_typed_and_named() {
    let server = SmtpServer::start("none");
    let bench = Bench::new(server.port, LOCAL).await;
    let partly =
        bench.send("partly", to(&["zoe@example.com", "unknown@example.com", "full@example.com"])).await.unwrap();
    assert_eq!(partly.accepted, ["zoe@example.com"]);
    let (names, words): (Vec<_>, Vec<_>) = partly.rejected.into_iter().unzip();
    assert_eq!(names, ["unknown@example.com", "full@example.com"]);
    assert!(words[0].contains("550") && words[0].contains("no such user") && words[1].contains("452"), "{words:?}");

    let nobody = bench.send("nobody", to(&["unknown@example.com", "unknown2@example.com"])).await.unwrap_err();
    assert_eq!((nobody.code, nobody.retryable), ("rejected", false));
    assert!(nobody.message.contains("unknown@example.com: 550") && nobody.message.contains("unknown2@"), "{nobody:?}");

    let later = bench.send("later", to(&["later@example.com"])).await.unwrap_err();
    assert_eq!((later.code, later.retryable, later.retry_after_ms), ("unavailable", true, Some(300_000)), "{later:?}");
    assert!(!later.is_uncertain);
    assert!(!bench.send("later", to(&["later@example.com"])).await.unwrap().repeated);

    let spam = bench.send("spam", to(&["spam@example.com"])).await.unwrap_err();
    assert_eq!((spam.code, spam.retryable, spam.is_uncertain), ("rejected", false, false), "{spam:?}");
    let stranger = Message { sender: Some("stranger@example.com".to_owned()), ..to(&["zoe@example.com"]) };
    let stranger = bench.send("stranger", stranger).await.unwrap_err();
    assert!(stranger.message.contains("this sender") && stranger.message.contains("553"), "{stranger:?}");
    assert_eq!(server.wait_for(2).len(), 2);
}

#[tokio::test]
async fn a_mail_whose_answer_was_cut_off_is_uncertain_and_keeps_its_message_id() {
    let server = SmtpServer::start("none");
    let bench = Bench::new(server.port, LOCAL).await;
    let cut = bench.send("k", to(&["cut@example.com"])).await.unwrap_err();
    assert!(cut.is_uncertain && cut.retryable && cut.message.contains("not known"), "{cut:?}");
    let again = bench.send("k", to(&["cut@example.com"])).await.unwrap();
    assert!(!again.repeated);
    let mails = server.wait_for(2);
    assert_eq!(mails[0]["message_id"], mails[1]["message_id"], "whoever counts by Message-ID has one mail");
}

#[tokio::test]
async fn sixteen_attempts_at_once_send_one_mail() {
    let server = SmtpServer::start("none");
    let bench = Arc::new(Bench::new(server.port, LOCAL).await);
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let bench = Arc::clone(&bench);
            bench
                .mailer
                .clone()
                .sending
                .spawn(async move { bench.send("k", to(&["zoe@example.com"])).await.unwrap().repeated })
        })
        .collect();
    let mut fresh = 0;
    for attempt in attempts {
        fresh += usize::from(!attempt.await.unwrap());
    }
    assert_eq!((fresh, server.wait_for(1).len()), (1, 1));
}

#[tokio::test]
async fn an_attempt_that_nobody_waits_for_any_more_is_remembered_all_the_same() {
    let server = SmtpServer::start("none");
    let bench = Arc::new(Bench::new(server.port, LOCAL).await);
    let sending = bench.send("k", to(&["zoe@example.com"]));
    // The call ends before the conversation does: it is polled until it has begun, and dropped.
    tokio::select! {
        biased;
        _ = sending => {}
        () = async { while bench.mailer.sending.is_empty() { tokio::task::yield_now().await } } => {}
    }
    assert!(bench.send("k", to(&["zoe@example.com"])).await.unwrap().repeated);
    assert_eq!(server.wait_for(1).len(), 1);
}

#[tokio::test]
async fn the_doors_rules_hold_for_mail_servers_too() {
    let server = SmtpServer::start("none");
    let closed = Bench::with(server.port, LOCAL, EgressConfig::default()).await;
    let refused = closed.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert_eq!((refused.code, refused.retryable), ("denied", false), "{refused:?}");
    assert!(refused.message.contains("--egress-allow 127.0.0.1/32"), "{refused:?}");
    let metadata = Made { host: "169.254.169.254", ..LOCAL };
    let refused = Bench::new(25, metadata).await.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert!(refused.message.contains("metadata"), "{refused:?}");
    let mut ceiling =
        EgressConfig { allow_addresses: vec![IpAddr::from([127, 0, 0, 1]).into()], ..EgressConfig::default() };
    ceiling.ceiling.allow = vec!["https://api.example.com".parse().unwrap()];
    let refused = Bench::with(server.port, LOCAL, ceiling).await.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert!(refused.message.contains("the operator"), "{refused:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn what_cannot_be_sent_says_why_before_anybody_is_asked() {
    // Nobody listens there: whoever asked would say so.
    let bench = Bench::new(9, LOCAL).await;
    for (change, field) in [
        (Message { subject: "a\r\nBcc: eve@example.com".to_owned(), ..to(&["zoe@example.com"]) }, "/subject"),
        (to(&["zoe@example.com", "no address"]), "/to/1"),
        (to(&["zoe@example.com>,<eve@example.com"]), "/to/0"),
        (to(&["Zoë <zoe@example.com>, eve@example.com"]), "/to/0"),
        (Message { cc: vec!["x".to_owned()], ..to(&["zoe@example.com"]) }, "/cc/0"),
        (Message { reply_to: Some("x".to_owned()), ..to(&["zoe@example.com"]) }, "/reply_to"),
        (Message { sender: Some("x".to_owned()), ..to(&["zoe@example.com"]) }, "/sender"),
    ] {
        let refused = bench.send("k", change).await.unwrap_err();
        let at = refused.details.as_ref().and_then(|details| details["field"].as_str());
        assert_eq!((refused.code, at), ("invalid-input", Some(field)), "{refused:?}");
    }
    let sender = Sender {
        workspace: &bench.workspace,
        plugin: &bench.plugin,
        connection: None,
        key: "k",
        deadline: SystemClock.now() + Duration::from_secs(30),
    };
    let none = bench.mailer.send(sender, to(&["zoe@example.com"])).await.unwrap_err();
    assert!(none.message.contains("connection: NAME"), "{none:?}");
    let stranger: PluginId = "acme/spam".parse().unwrap();
    let sender = Sender { plugin: &stranger, connection: Some(&bench.name), ..sender };
    let not_for_it = bench.mailer.send(sender, to(&["zoe@example.com"])).await.unwrap_err();
    assert!(not_for_it.message.contains("connection allow mailer acme/spam"), "{not_for_it:?}");
}

#[tokio::test]
async fn what_a_third_party_slips_in_before_tls_is_not_heard() {
    let (port, server) = server::says(&[
        ("", "220 test\r\n"),
        ("EHLO", "250-test\r\n250 STARTTLS\r\n"),
        // In one write, as an attacker on the way would: a reply that would count as said under TLS.
        ("STARTTLS", "220 go on\r\n250-test\r\n250 AUTH PLAIN\r\n"),
    ]);
    let wants_tls = Made { tls: SmtpTls::Starttls, ca: Some(CA), ..LOCAL };
    let refused = Bench::new(port, wants_tls).await.send("k", to(&["zoe@example.com"])).await.unwrap_err();
    assert!(refused.message.contains("TLS"), "{refused:?}");
    let heard = server.join().unwrap();
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
}

#[test]
fn failures_of_the_store_are_tried_again() {
    let failure = Failure::from(StoreError::Busy);
    assert!(failure.retryable && failure.message.contains("looked up"));
}
