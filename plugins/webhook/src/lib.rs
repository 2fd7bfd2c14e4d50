//! Webhooks: the trigger `inbound` turns a request into an event, the action `send` tells others with a POST of JSON.

mod inbound;
mod send;

flowcell_sdk::plugin! {
    actions: { "send" => send::send },
    triggers: { "inbound" => inbound::inbound },
}
