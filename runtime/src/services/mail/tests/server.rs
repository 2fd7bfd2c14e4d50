//! A real mail server in a process of its own, and one that says what a test wants.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Runs until dropped.
pub(super) struct SmtpServer {
    child: Child,
    pub(super) port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    /// `starttls`, `implicit` or `none`.
    pub(super) fn start(mode: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join("target/tools/python/bin/python");
        assert!(python.exists(), "{} is missing: run `cargo xtask tools` first", python.display());
        let mut child = Command::new(python)
            .arg(root.join("tests/tools/smtp.py"))
            .arg(mode)
            .arg(root.join("tests/tools/smtp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port, mails }
    }

    pub(super) fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits for at least as many; what a test expects not to come, it waits for by something that comes after.
    #[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
    pub(super) fn wait_for(&self, count: usize) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let mails = self.mails();
            if mails.len() >= count || begin.elapsed() > Duration::from_mins(1) {
                assert!(mails.len() >= count, "{count} mails were expected: {mails:?}");
                return mails;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that says each text when what was heard since ends with a line that begins so. Returns what it heard.
pub(super) fn says(script: &'static [(&'static str, &'static str)]) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for (after, say) in script {
            if !after.is_empty() {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert!(line.starts_with(after), "{line}");
                heard.push_str(&line);
            }
            stream.write_all(say.as_bytes()).unwrap();
        }
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest);
        heard + &String::from_utf8_lossy(&rest)
    });
    (port, server)
}
