//! `plugin!`: what a plugin offers, by the ids that stand in `plugin.toml`.

use crate::schema::Node;
use crate::trigger::{Outcome, WebhookRequest};
use crate::{ActionError, Context, Input, Output};

/// A whole plugin. `plugin!` implements it for the `ThisPlugin` it declares.
pub trait Plugin {
    /// One line of the section `flowcell:schemas` for each action and trigger (SCHEMAS.md).
    const SCHEMAS: &'static [&'static [u8]];

    /// Runs the action with this id; input and output are JSON.
    fn invoke(action: &str, ctx: &Context, input: &str) -> Result<String, ActionError>;

    /// Asks the trigger with this id what a request means; config and payloads are JSON.
    fn on_webhook(
        trigger: &str,
        ctx: &Context,
        config: &str,
        request: WebhookRequest,
    ) -> Result<Outcome<String>, ActionError>;
}

/// Declares the plugin of this crate, once, at its root.
///
/// ```
/// # use flowcell_sdk::trigger::{Outcome, WebhookRequest};
/// # use flowcell_sdk::{ActionError, Context};
/// # use serde_json::Value;
/// fn send(ctx: &Context, input: Value) -> Result<Value, ActionError> {
///     Ok(input)
/// }
///
/// fn inbound(ctx: &Context, config: Value, request: WebhookRequest) -> Result<Outcome<String>, ActionError> {
///     Ok(Outcome::event(request.method))
/// }
///
/// flowcell_sdk::plugin! {
///     actions: { "send" => send },
///     triggers: { "inbound" => inbound },
/// }
/// ```
/// An action is a `fn(&Context, I) -> Result<O, ActionError>`; a trigger a
/// `fn(&Context, C, WebhookRequest) -> Result<Outcome<O>, ActionError>`, where `I` and `C` are [`Input`] and `O` is [`Output`].
/// The ids are what workflows name: renaming a function does not change them.
#[macro_export]
macro_rules! plugin {
    (
        $(actions: { $($action:literal => $act:path),+ $(,)? } $(,)?)?
        $(triggers: { $($trigger:literal => $react:path),+ $(,)? } $(,)?)?
    ) => {
        /// This plugin, for the host and for tests.
        #[derive(Debug)]
        #[allow(unreachable_pub)]
        pub struct ThisPlugin;

        impl $crate::Plugin for ThisPlugin {
            const SCHEMAS: &'static [&'static [u8]] = &[
                $($({
                    const SCHEMAS: $crate::__private::ActionSchemas = $crate::__private::ActionSchemas::of($act);
                    const LINE: [u8; $crate::__private::action_line_length($action, SCHEMAS)] = $crate::__private::action_line($action, SCHEMAS);
                    &LINE
                },)+)?
                $($({
                    const SCHEMAS: $crate::__private::TriggerSchemas = $crate::__private::TriggerSchemas::of($react);
                    const LINE: [u8; $crate::__private::trigger_line_length($trigger, SCHEMAS)] = $crate::__private::trigger_line($trigger, SCHEMAS);
                    &LINE
                },)+)?
            ];

            fn invoke(
                action: &str,
                ctx: &$crate::Context,
                input: &str,
            ) -> ::core::result::Result<::std::string::String, $crate::ActionError> {
                match action {
                    $($($action => $crate::__private::call_action($act, ctx, input),)+)?
                    _ => {
                        let _ = (ctx, input);
                        ::core::result::Result::Err($crate::__private::unknown_action(action))
                    }
                }
            }

            fn on_webhook(
                trigger: &str,
                ctx: &$crate::Context,
                config: &str,
                request: $crate::trigger::WebhookRequest,
            ) -> ::core::result::Result<$crate::trigger::Outcome<::std::string::String>, $crate::ActionError> {
                match trigger {
                    $($($trigger => $crate::__private::call_trigger($react, ctx, config, request),)+)?
                    _ => {
                        let _ = (ctx, config, request);
                        ::core::result::Result::Err($crate::__private::unknown_trigger(trigger))
                    }
                }
            }
        }

        const _: () = {
            assert!($crate::__private::is_unique(&[$($($action),+)?]), "two actions have the same id");
            assert!($crate::__private::is_unique(&[$($($trigger),+)?]), "two triggers have the same id");
        };

        // One static for each: the linker joins them into one section.
        $($(
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                const SCHEMAS: $crate::__private::ActionSchemas = $crate::__private::ActionSchemas::of($act);
                const LENGTH: usize = $crate::__private::action_line_length($action, SCHEMAS);
                #[allow(unsafe_code)]
                #[used]
                #[unsafe(link_section = "flowcell:schemas")]
                static LINE: [u8; LENGTH] = $crate::__private::action_line($action, SCHEMAS);
            };
        )+)?
        $($(
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                const SCHEMAS: $crate::__private::TriggerSchemas = $crate::__private::TriggerSchemas::of($react);
                const LENGTH: usize = $crate::__private::trigger_line_length($trigger, SCHEMAS);
                #[allow(unsafe_code)]
                #[used]
                #[unsafe(link_section = "flowcell:schemas")]
                static LINE: [u8; LENGTH] = $crate::__private::trigger_line($trigger, SCHEMAS);
            };
        )+)?

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            $crate::bindings::export!(ThisPlugin with_types_in $crate::bindings);
        };
    };
}

/// The schemas of an action, found through its signature.
#[derive(Debug, Clone, Copy)]
pub struct ActionSchemas {
    pub(crate) input: &'static Node,
    pub(crate) output: &'static Node,
}

impl ActionSchemas {
    pub const fn of<I: Input, O: Output>(_: fn(&Context, I) -> Result<O, ActionError>) -> Self {
        Self { input: I::SCHEMA, output: O::SCHEMA }
    }
}

/// The schemas of a trigger, found through its signature.
#[derive(Debug, Clone, Copy)]
pub struct TriggerSchemas {
    pub(crate) config: &'static Node,
    pub(crate) output: &'static Node,
}

impl TriggerSchemas {
    pub const fn of<C: Input, O: Output>(
        _: fn(&Context, C, WebhookRequest) -> Result<Outcome<O>, ActionError>,
    ) -> Self {
        Self { config: C::SCHEMA, output: O::SCHEMA }
    }
}

/// Decodes, runs, encodes.
pub fn call_action<I: Input, O: Output>(
    act: fn(&Context, I) -> Result<O, ActionError>,
    ctx: &Context,
    input: &str,
) -> Result<String, ActionError> {
    encode(&act(ctx, decode(input)?)?)
}

/// Decodes, runs, encodes.
pub fn call_trigger<C: Input, O: Output>(
    react: fn(&Context, C, WebhookRequest) -> Result<Outcome<O>, ActionError>,
    ctx: &Context,
    config: &str,
    request: WebhookRequest,
) -> Result<Outcome<String>, ActionError> {
    react(ctx, decode(config)?, request)?.try_map(|payload| encode(&payload))
}

/// The host has held the input against the schema before: what fails here is what a schema cannot say.
fn decode<I: Input>(json: &str) -> Result<I, ActionError> {
    serde_json::from_str(json)
        .map_err(|error| ActionError::invalid_input("", format!("the input does not fit: {error}")))
}

fn encode<O: Output>(value: &O) -> Result<String, ActionError> {
    serde_json::to_string(value).map_err(|error| {
        ActionError::permanent("invalid-output", format!("the plugin's output has no JSON form: {error}"))
    })
}

#[cold]
pub fn unknown_action(id: &str) -> ActionError {
    ActionError::permanent("unknown-action", format!("this plugin has no action `{id}`"))
}

#[cold]
pub fn unknown_trigger(id: &str) -> ActionError {
    ActionError::permanent("unknown-trigger", format!("this plugin has no trigger `{id}`"))
}

/// Whether no two are the same.
pub const fn is_unique(ids: &[&str]) -> bool {
    let mut rest = ids;
    while let [first, others @ ..] = rest {
        let mut candidates = others;
        while let [other, more @ ..] = candidates {
            if crate::schema::equal(first.as_bytes(), other.as_bytes()) {
                return false;
            }
            candidates = more;
        }
        rest = others;
    }
    true
}
