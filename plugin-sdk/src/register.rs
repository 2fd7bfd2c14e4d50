//! `plugin!`: what a plugin offers, by the ids that stand in `plugin.toml`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::options::{Options, OptionsQuery};
use crate::poll::Polled;
use crate::schema::Node;
use crate::subscription::{Subscribe, Subscription};
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

    /// Asks the polling trigger with this id what is new; config, cursor and payloads are JSON.
    fn poll(
        trigger: &str,
        ctx: &Context,
        config: &str,
        cursor: Option<String>,
    ) -> Result<Polled<String, String>, ActionError>;

    /// Registers the URL of the trigger with this id; config and registration are JSON.
    fn subscribe(
        trigger: &str,
        ctx: &Context,
        config: &str,
        wanted: Subscribe<String>,
    ) -> Result<Subscription<String>, ActionError>;

    fn unsubscribe(trigger: &str, ctx: &Context, config: &str, registration: &str) -> Result<(), ActionError>;

    /// Asks the action or trigger with this id for the choices of a field; the input and the answer are JSON.
    fn options(
        member: &str,
        ctx: &Context,
        field_and_input: (&str, &str),
        query: OptionsQuery,
    ) -> Result<String, ActionError>;
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
///
/// After these may follow, in this order, `polls: { "row-changed" => poll }` ([`crate::poll`]: triggers that ask),
/// `subscriptions: { "paid" => (subscribe, unsubscribe) }` ([`crate::subscription`]: for ids of `triggers`) and
/// `options: { "append-row" => choices }` ([`crate::options`]: for ids of any of them).
///
/// | in | function |
/// |---|---|
/// | `polls` | `fn(&Context, C, Option<Cursor>) -> Result<Polled<O, Cursor>, ActionError>`, any `Cursor: Serialize + DeserializeOwned` |
/// | `subscriptions` | `fn(&Context, C, Subscribe<R>) -> Result<Subscription<R>, ActionError>` and `fn(&Context, C, R) -> Result<(), ActionError>` |
/// | `options` | `fn(&Context, &str, &Value, OptionsQuery) -> Result<Options, ActionError>`: the field as a JSON Pointer, what is filled in so far |
///
/// The ids are what workflows name: renaming a function does not change them.
#[macro_export]
macro_rules! plugin {
    (
        $(actions: { $($action:literal => $act:path),+ $(,)? } $(,)?)?
        $(triggers: { $($trigger:literal => $react:path),+ $(,)? } $(,)?)?
        $(polls: { $($poll:literal => $ask:path),+ $(,)? } $(,)?)?
        $(subscriptions: { $($subscription:literal => ($subscribe:path, $unsubscribe:path)),+ $(,)? } $(,)?)?
        $(options: { $($member:literal => $choose:path),+ $(,)? } $(,)?)?
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
                $($({
                    const SCHEMAS: $crate::__private::TriggerSchemas = $crate::__private::TriggerSchemas::of_poll($ask);
                    const LINE: [u8; $crate::__private::trigger_line_length($poll, SCHEMAS)] = $crate::__private::trigger_line($poll, SCHEMAS);
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

            fn poll(
                trigger: &str,
                ctx: &$crate::Context,
                config: &str,
                cursor: ::core::option::Option<::std::string::String>,
            ) -> ::core::result::Result<$crate::poll::Polled<::std::string::String, ::std::string::String>, $crate::ActionError> {
                match trigger {
                    $($($poll => $crate::__private::call_poll($ask, ctx, config, cursor),)+)?
                    _ => {
                        let _ = (ctx, config, cursor);
                        ::core::result::Result::Err($crate::__private::unknown_trigger(trigger))
                    }
                }
            }

            fn subscribe(
                trigger: &str,
                ctx: &$crate::Context,
                config: &str,
                wanted: $crate::subscription::Subscribe<::std::string::String>,
            ) -> ::core::result::Result<$crate::subscription::Subscription<::std::string::String>, $crate::ActionError> {
                match trigger {
                    $($($subscription => $crate::__private::call_subscribe($subscribe, ctx, config, wanted),)+)?
                    _ => {
                        let _ = (ctx, config, wanted);
                        ::core::result::Result::Err($crate::__private::unknown_trigger(trigger))
                    }
                }
            }

            fn unsubscribe(
                trigger: &str,
                ctx: &$crate::Context,
                config: &str,
                registration: &str,
            ) -> ::core::result::Result<(), $crate::ActionError> {
                match trigger {
                    $($($subscription => $crate::__private::call_unsubscribe($unsubscribe, ctx, config, registration),)+)?
                    _ => {
                        let _ = (ctx, config, registration);
                        ::core::result::Result::Err($crate::__private::unknown_trigger(trigger))
                    }
                }
            }

            fn options(
                member: &str,
                ctx: &$crate::Context,
                field_and_input: (&str, &str),
                query: $crate::options::OptionsQuery,
            ) -> ::core::result::Result<::std::string::String, $crate::ActionError> {
                match member {
                    $($($member => $crate::__private::call_options($choose, ctx, field_and_input, query),)+)?
                    _ => {
                        let _ = (ctx, field_and_input, query);
                        ::core::result::Result::Err($crate::__private::unknown_options(member))
                    }
                }
            }
        }

        const _: () = {
            assert!($crate::__private::is_unique(&[$($($action),+)?]), "two actions have the same id");
            assert!($crate::__private::is_unique(&[$($($trigger,)+)? $($($poll,)+)?]), "two triggers have the same id");
            assert!($crate::__private::is_unique(&[$($($subscription),+)?]), "two subscriptions have the same id");
            assert!($crate::__private::is_unique(&[$($($member),+)?]), "two options have the same id");
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
        $($(
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                const SCHEMAS: $crate::__private::TriggerSchemas = $crate::__private::TriggerSchemas::of_poll($ask);
                const LENGTH: usize = $crate::__private::trigger_line_length($poll, SCHEMAS);
                #[allow(unsafe_code)]
                #[used]
                #[unsafe(link_section = "flowcell:schemas")]
                static LINE: [u8; LENGTH] = $crate::__private::trigger_line($poll, SCHEMAS);
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

    #[expect(clippy::type_complexity, reason = "the signature that authors write, spelled out")]
    pub const fn of_poll<C: Input, O: Output, Cursor>(
        _: fn(&Context, C, Option<Cursor>) -> Result<Polled<O, Cursor>, ActionError>,
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

/// Decodes, asks, encodes.
#[expect(clippy::type_complexity, reason = "the signature that authors write, spelled out")]
pub fn call_poll<C: Input, O: Output, Cursor: Serialize + DeserializeOwned>(
    ask: fn(&Context, C, Option<Cursor>) -> Result<Polled<O, Cursor>, ActionError>,
    ctx: &Context,
    config: &str,
    cursor: Option<String>,
) -> Result<Polled<String, String>, ActionError> {
    let cursor = cursor.map(|cursor| stored(&cursor, "cursor")).transpose()?;
    ask(ctx, decode(config)?, cursor)?.encode()
}

/// Decodes, registers, encodes.
#[expect(clippy::type_complexity, reason = "the signature that authors write, spelled out")]
pub fn call_subscribe<C: Input, R: Serialize + DeserializeOwned>(
    subscribe: fn(&Context, C, Subscribe<R>) -> Result<Subscription<R>, ActionError>,
    ctx: &Context,
    config: &str,
    wanted: Subscribe<String>,
) -> Result<Subscription<String>, ActionError> {
    let registration = wanted.registration.map(|before| stored(&before, "registration")).transpose()?;
    let wanted = Subscribe { callback_url: wanted.callback_url, registration };
    let made = subscribe(ctx, decode(config)?, wanted)?;
    let registration = serde_json::to_string(&made.registration).map_err(|error| {
        ActionError::permanent("invalid-output", format!("the registration has no JSON form: {error}"))
    })?;
    Ok(Subscription { registration, renew_before: made.renew_before })
}

/// Decodes, takes away.
pub fn call_unsubscribe<C: Input, R: DeserializeOwned>(
    unsubscribe: fn(&Context, C, R) -> Result<(), ActionError>,
    ctx: &Context,
    config: &str,
    registration: &str,
) -> Result<(), ActionError> {
    unsubscribe(ctx, decode(config)?, stored(registration, "registration")?)
}

/// Asks for the choices of a field.
type Choose = fn(&Context, &str, &Value, OptionsQuery) -> Result<Options, ActionError>;

/// Decodes, asks, encodes.
pub fn call_options(
    choose: Choose,
    ctx: &Context,
    (field, input): (&str, &str),
    query: OptionsQuery,
) -> Result<String, ActionError> {
    let choices = choose(ctx, field, &decode::<Value>(input)?, query)?;
    serde_json::to_string(&choices)
        .map_err(|error| ActionError::permanent("invalid-output", format!("the choices have no JSON form: {error}")))
}

/// Reads what this plugin gave the host to keep: an older version of it may have written something else.
fn stored<T: DeserializeOwned>(json: &str, what: &str) -> Result<T, ActionError> {
    serde_json::from_str(json).map_err(|error| {
        ActionError::permanent(
            "invalid-state",
            format!("the stored {what} is not what this version of the plugin writes: {error}"),
        )
    })
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

#[cold]
pub fn unknown_options(id: &str) -> ActionError {
    ActionError::permanent("unknown-options", format!("this plugin has no choices for `{id}`"))
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
