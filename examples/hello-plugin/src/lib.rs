//! The smallest plugin: one action that greets.

use flowcell_sdk::{ActionError, Context, Input, Output};

#[derive(Input)]
struct Greeting {
    /// Who to greet.
    #[input(example = "Ada")]
    name: String,
}

#[derive(Output)]
struct Greeted {
    message: String,
}

fn greet(_ctx: &Context, Greeting { name }: Greeting) -> Result<Greeted, ActionError> {
    if name.trim().is_empty() {
        return Err(ActionError::invalid_input("/name", "there is nobody to greet: give a name"));
    }
    Ok(Greeted { message: format!("Hello, {name}!") })
}

flowcell_sdk::plugin! { actions: { "greet" => greet } }
