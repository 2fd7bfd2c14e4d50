//! Text.

use flowcell_sdk::{ActionError, Context, Input, Output};

#[derive(Input)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct Text {
    #[input(multiline)]
    text: String,
    /// Removes spaces and line breaks around it.
    #[input(default = true)]
    trim: bool,
    /// Replaces this …
    #[serde(default)]
    replace: String,
    /// … by this.
    #[serde(default)]
    by: String,
    #[serde(default)]
    case: Case,
    /// At most so many characters; what is cut off leaves an ellipsis.
    #[input(minimum = 1)]
    characters_max: Option<u32>,
    /// Cuts it into parts here.
    #[serde(default)]
    split_at: String,
}

#[derive(Input, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
enum Case {
    #[default]
    Unchanged,
    Lower,
    Upper,
    /// The first letter of each word.
    Title,
}

#[derive(Output)]
pub(crate) struct Formatted {
    text: String,
    /// Of the result.
    characters: usize,
    words: usize,
    parts: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of an action")]
pub(crate) fn format(_: &Context, input: Text) -> Result<Formatted, ActionError> {
    let mut text = if input.trim { input.text.trim().to_owned() } else { input.text };
    if !input.replace.is_empty() {
        text = text.replace(&input.replace, &input.by);
    }
    text = match input.case {
        Case::Unchanged => text,
        Case::Lower => text.to_lowercase(),
        Case::Upper => text.to_uppercase(),
        Case::Title => title(&text),
    };
    if let Some(most) = input.characters_max.and_then(|most| usize::try_from(most).ok())
        && text.chars().count() > most
    {
        text = text.chars().take(most.saturating_sub(1)).chain(['…']).collect();
    }
    let parts = if input.split_at.is_empty() {
        Vec::new()
    } else {
        text.split(&input.split_at).map(|part| part.trim().to_owned()).collect()
    };
    Ok(Formatted { characters: text.chars().count(), words: text.split_whitespace().count(), parts, text })
}

fn title(text: &str) -> String {
    let mut begins = true;
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        if begins {
            titled.extend(letter.to_uppercase());
        } else {
            titled.extend(letter.to_lowercase());
        }
        begins = !letter.is_alphanumeric() && letter != '\'';
    }
    titled
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::format;

    #[test]
    fn text_is_formatted_in_the_order_of_the_fields() {
        let host = Harness::new();
        let call = |input| host.call(format, input).unwrap();
        let titled = call(json!({"text": "  grüne ÄPFEL, o'neill ", "case": "title"}));
        assert_eq!((&titled["text"], &titled["words"]), (&json!("Grüne Äpfel, O'neill"), &json!(3)));
        assert_eq!(call(json!({"text": "abcdef", "characters_max": 4}))["text"], "abc…");
        assert_eq!(call(json!({"text": "a; b;c", "split_at": ";"}))["parts"], json!(["a", "b", "c"]));
        assert_eq!(call(json!({"text": "a-b-c", "replace": "-", "by": "", "case": "upper"}))["text"], "ABC");
    }
}
