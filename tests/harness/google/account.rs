//! How a server under test comes to the double: its requests to Google's hosts are routed there, and a connection has a key of this test's own.

use serde_json::{Value, json};

use super::Google;
use crate::Server;
use crate::tools::{printed, python};

impl Google {
    /// Lines of `[egress.routes]` that lead Google's hosts here.
    pub fn routes(&self) -> String {
        let origin = self.origin();
        ["sheets", "www", "oauth2"].map(|host| format!("\"https://{host}.googleapis.com\" = \"{origin}\"\n")).concat()
    }

    /// Adds the connection `google` to a server: a service account for the plugin `flowcell/google-sheets`.
    pub fn connect(&self, server: &Server) {
        let file = server.folder().join("key.json");
        std::fs::write(&file, service_account().to_string()).unwrap();
        let added = server.cli(&[
            "connection",
            "add",
            "google",
            "--kind",
            "google-service-account",
            "--key-file",
            file.to_str().unwrap(),
            "--scope",
            "https://www.googleapis.com/auth/spreadsheets",
            "--host",
            "https://sheets.googleapis.com",
            "--host",
            "https://www.googleapis.com/drive/*",
            "--plugin",
            "flowcell/google-sheets",
            "--json",
        ]);
        assert_eq!(added.code, Some(0), "{added:?}");
    }
}

/// A key file as Google gives it, made for this test; it opens nothing.
fn service_account() -> Value {
    let script = "
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
print(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())
";
    json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": printed(&mut python(script, &[])) + "\n",
        "client_email": "flow@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
    })
}
