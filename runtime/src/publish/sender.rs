//! What a text says about the senders of its trigger: that they can be verified, and what they are known to send.

use flowcell_core::ports::StoreError;
use flowcell_core::workflow::Verify;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::problem::{Problem as Fault, Severity};
use serde_json::Value;

use crate::app::App;
use crate::ingress::verify::{Verifier, secrets};
use crate::publish::Intent;

/// The schema of the workflow's mapping reference, if there is one.
pub(super) async fn reference(app: &App, source: &str) -> Result<Option<Value>, StoreError> {
    let Ok(Authored { workflow, .. }) = Authored::parse(source) else { return Ok(None) };
    Ok(app.ports.triggers.reference(&app.workspace, &workflow.id).await?.map(|reference| reference.schema))
}

/// A trigger that names a scheme is not published without a secret that the scheme can use; a draft is only warned about.
pub(super) async fn check(app: &App, source: &str, intent: Intent) -> Option<Fault> {
    let authored = Authored::parse(source).ok()?;
    let scheme = authored.workflow.trigger.verify.as_ref().and_then(Verify::scheme)?;
    let verifier = match Verifier::new(scheme) {
        Ok(verifier) => verifier,
        Err(message) => {
            let message = format!("the public key cannot be used: {message}");
            return Some(authored.located.problem("/trigger/verify/public_key", message));
        }
    };
    let name = verifier.secret()?;
    let problem = match secrets::of(app, &app.workspace, name).await {
        Ok(secrets) => verifier.takes(&secrets).err().map(|refusal| refusal.to_string()),
        Err(error) => Some(error.to_string()),
    }?;
    let help = format!(
        "add it with `flowcell connection add {name} --kind webhook-secret`, or write `verify: unsigned` to believe whoever knows the URL"
    );
    let severity = if intent == Intent::Draft { Severity::Warning } else { Severity::Error };
    let fault = authored.located.problem("/trigger/verify/secret", problem);
    Some(Fault { help: Some(help), severity, ..fault })
}
