//! A real mail server (aiosmtpd of PyPI) on loopback; `tests/tools/smtp.py` says what it does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::eventually;
use crate::tools::python;

/// Runs until dropped.
#[derive(Debug)]
pub struct Smtp {
    child: Child,
    pub port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl Smtp {
    pub const USER: &str = "ana@example.com";
    pub const PASSWORD: &str = "s3cret";

    /// `starttls`, `implicit` or `none`.
    pub fn start(mode: &str) -> Self {
        let folder = crate::root().join("tests/tools/smtp");
        let mut command = python(include_str!("../tools/smtp.py"), &[mode, folder.to_str().unwrap()]);
        // Its warnings are about what a test does on purpose.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let port = said.get("port").and_then(Value::as_u64).unwrap().try_into().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).unwrap();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
            }
        });
        Self { child, port, mails }
    }

    pub fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for at least `count` mails and returns all there are.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} mails at the server"), Duration::from_mins(1), || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
