//! `flowcell:plugin/mail`: one message through the step's connection.

use flowcell_core::host_call::HostRequest;
use flowcell_core::host_call::mail::{Attachment, Message, Receipt};

use crate::host::{State, contract::mail, contract::plugin_types, document};

impl mail::Host for State {
    async fn send(
        &mut self,
        message: mail::Message,
    ) -> wasmtime::Result<Result<mail::Receipt, plugin_types::HostError>> {
        let attachments = message.attachments.into_iter();
        let message = Message {
            sender: message.sender,
            to: message.to,
            cc: message.cc,
            bcc: message.bcc,
            reply_to: message.reply_to,
            subject: message.subject,
            text: message.text,
            html: message.html,
            attachments: attachments.map(|file| Attachment::new(file.name, file.media_type, file.content)).collect(),
            key: message.key,
        };
        let answer = self.ask(HostRequest::Mail(message)).await;
        Ok(document::answered::<Receipt>(answer).map(|receipt| mail::Receipt {
            message_id: receipt.message_id,
            accepted: receipt.accepted,
            rejected: receipt.rejected,
            repeated: receipt.repeated,
        }))
    }
}
