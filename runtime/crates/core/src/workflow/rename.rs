//! Gives a step another id and rewrites every expression that reads it. The rest of the text stays as it is, to the last blank.
//!
//! The text is changed, then read again and compared with what the change should have made of the document: a rename either does exactly
//! that, or nothing.

use std::collections::HashSet;

use serde_json::Value;

use super::Workflow;
use super::check::fields::reads;
use super::parse::Authored;
use super::problem::Problem;
use super::step::{StepKind, WaitFor};
use crate::condition::{Condition, Group};
use crate::expression::{has_expression, join_pointer};
use crate::id::StepId;

/// The text with the step `old` called `new`.
pub fn rename_step(text: &str, old: &StepId, new: &StepId) -> Result<String, Vec<Problem>> {
    let authored = Authored::parse(text)?;
    let place = authored.workflow.all_steps().find(|placed| placed.step.id == *old);
    let Some(pointer) = place.map(|placed| format!("{}/id", placed.pointer)) else {
        let ids: Vec<_> = authored.workflow.all_steps().map(|placed| placed.step.id.to_string()).collect();
        let near = super::problem::similar(old.as_str(), ids.iter().map(String::as_str));
        let help =
            near.map_or_else(|| format!("the steps are {}", ids.join(", ")), |near| format!("did you mean `{near}`?"));
        return Err(vec![authored.located.problem("", format!("there is no step `{old}`")).with_help(help)]);
    };
    if let Some(taken) = authored.workflow.all_steps().find(|placed| placed.step.id == *new) {
        let problem =
            authored.located.problem(&format!("{}/id", taken.pointer), format!("there is a step `{new}` already"));
        return Err(vec![problem.with_help("choose another id")]);
    }
    let mut expected = authored.located.value.clone();
    let rename = Rename { old, new, bare: bare_expressions(&authored.workflow) };
    rename.apply(&mut expected, "");
    if let Some(id) = expected.pointer_mut(&pointer) {
        *id = Value::String(new.to_string());
    }
    let renamed = rename.rewrite(text, &authored, &pointer);
    match Authored::parse(&renamed) {
        Ok(read) if read.located.value == expected && !reads(&read.workflow, old) => Ok(renamed),
        _ => {
            let problem =
                authored.located.problem(&pointer, format!("`{old}` cannot be renamed in this text without a doubt"));
            Err(vec![problem.with_help("rename it by hand and let `flowcell check` list the expressions that read it")])
        }
    }
}

/// What is renamed, and where texts are expressions without braces around them.
struct Rename<'a> {
    old: &'a StepId,
    new: &'a StepId,
    bare: HashSet<String>,
}

impl Rename<'_> {
    /// What the rename makes of a part of the document.
    fn apply(&self, value: &mut Value, pointer: &str) {
        match value {
            Value::String(text) if has_expression(text) => *text = self.in_braces(text),
            Value::String(text) if self.bare.contains(pointer) => *text = self.in_code(text),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.apply(item, &join_pointer(pointer, &index.to_string()));
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields.iter_mut() {
                    self.apply(field, &join_pointer(pointer, key));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Renames in the source: the id, and each text that holds expressions between its place and the next one.
    fn rewrite(&self, text: &str, authored: &Authored, id: &str) -> String {
        let located = &authored.located;
        let mut places: Vec<(usize, String)> = located
            .pointers()
            .map(|pointer| (located.value_position(pointer).offset_in(text), pointer.to_owned()))
            .collect();
        places.sort();
        let keys = located.pointers().map(|pointer| located.key_position(pointer).offset_in(text));
        let mut borders: Vec<usize> =
            keys.chain(places.iter().map(|(offset, _)| *offset)).chain([text.len()]).collect();
        borders.sort_unstable();
        let mut renamed = String::with_capacity(text.len());
        let mut written = 0;
        for (start, pointer) in &places {
            let Some(Value::String(value)) = located.value.pointer(pointer) else { continue };
            let end = borders.iter().copied().find(|border| border > start).unwrap_or(text.len());
            let (Some(before), Some(source)) = (text.get(written..*start), text.get(*start..end)) else { continue };
            let new = if pointer == id {
                source.replacen(self.old.as_str(), self.new.as_str(), 1)
            } else if has_expression(value) {
                self.in_braces(source)
            } else if self.bare.contains(pointer) {
                // The quotes of the document are not those of the expression.
                let (quote, code) = source.split_at(source.len() - source.trim_start_matches(['"', '\'']).len());
                format!("{quote}{}", self.in_code(code))
            } else {
                continue;
            };
            renamed.push_str(before);
            renamed.push_str(&new);
            written = end;
        }
        renamed.push_str(text.get(written..).unwrap_or_default());
        renamed
    }

    /// Renames inside of `{{ … }}` and `{% … %}` only.
    fn in_braces(&self, text: &str) -> String {
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = ["{{", "{%"].iter().filter_map(|opener| rest.find(opener)).min() {
            let (literal, code) = rest.split_at(start);
            let closer = if code.starts_with("{{") { "}}" } else { "%}" };
            let end = code.find(closer).map_or(code.len(), |end| end + closer.len());
            let (code, after) = code.split_at(end);
            renamed.push_str(literal);
            renamed.push_str(&self.in_code(code));
            rest = after;
        }
        renamed.push_str(rest);
        renamed
    }

    /// Renames `steps.old` and `steps['old']`, `resume.old` and `resume['old']` in the code of an expression; texts in quotes are left alone.
    fn in_code(&self, code: &str) -> String {
        let (old, new) = (self.old, self.new);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut renamed = String::with_capacity(code.len());
        let mut rest = code;
        let mut last = ' ';
        while let Some(c) = rest.chars().next() {
            let read = match after_steps(rest).filter(|_| !is_word(last) && last != '.') {
                Some(name) => Some(name).filter(|name| {
                    let after = name.strip_prefix(old.as_str());
                    after.is_some_and(|after| !after.starts_with(is_word))
                }),
                None => None,
            };
            if let Some(name) = read {
                let (before, _) = rest.split_at(rest.len() - name.len());
                renamed.push_str(before);
                renamed.push_str(new.as_str());
                rest = name.get(old.as_str().len()..).unwrap_or_default();
                // The quote of a subscript ends here; it begins nothing.
                let quote = ["\\\"", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote)).unwrap_or_default();
                renamed.push_str(quote);
                rest = rest.get(quote.len()..).unwrap_or_default();
                last = 'x';
                continue;
            }
            let taken = match c {
                '\'' | '"' => quoted(rest),
                // In a text of double quotes YAML and JSON write `\"`.
                '\\' if rest.starts_with("\\\"") => {
                    rest.get(2..).and_then(|inner| inner.find("\\\"")).map_or(rest.len(), |end| end + 4)
                }
                c => c.len_utf8(),
            };
            let (now, after) = rest.split_at(taken);
            renamed.push_str(now);
            last = now.chars().next_back().unwrap_or(' ');
            rest = after;
        }
        renamed
    }
}

/// The texts that are expressions without braces around them.
fn bare_expressions(workflow: &Workflow) -> HashSet<String> {
    let mut bare = HashSet::from(["/settings/concurrency/key".to_owned(), "/settings/reentry/key".to_owned()]);
    if let Some(filter) = &workflow.trigger.filter {
        of_condition(filter, "/trigger/filter", &mut bare);
    }
    for placed in workflow.all_steps() {
        let place = |key: &str| format!("{}/{key}", placed.pointer);
        match &placed.step.kind {
            StepKind::If(each) => {
                for (index, branch) in each.branches.iter().enumerate() {
                    of_condition(&branch.when, &place(&format!("if/{index}/when")), &mut bare);
                }
            }
            StepKind::ForEach(_) => bare.extend([place("for_each")]),
            StepKind::Wait(wait) => match &wait.what {
                WaitFor::Until(_) => bare.extend([place("wait/until")]),
                WaitFor::Event { matches: Some(matches), .. } => of_condition(matches, &place("wait/match"), &mut bare),
                _ => {}
            },
            _ => {}
        }
    }
    bare
}

fn of_condition(condition: &Condition, pointer: &str, bare: &mut HashSet<String>) {
    let mut of_list = |key: &str, list: &[Condition]| {
        for (index, inner) in list.iter().enumerate() {
            of_condition(inner, &format!("{pointer}/{key}/{index}"), bare);
        }
    };
    match condition {
        Condition::Expression(_) => bare.extend([pointer.to_owned()]),
        Condition::Compare(_) => {}
        Condition::Group(Group::All(list)) => of_list("all", list),
        Condition::Group(Group::Any(list)) => of_list("any", list),
        Condition::Group(Group::Not(inner)) => of_condition(inner, &format!("{pointer}/not"), bare),
    }
}

/// What follows `steps.` or `steps['`, or the same with `resume`, when the code begins with it. In a text of double quotes YAML and JSON write `\"`.
fn after_steps(code: &str) -> Option<&str> {
    let rest = code.strip_prefix("steps").or_else(|| code.strip_prefix("resume"))?.trim_start();
    if let Some(rest) = rest.strip_prefix('.') {
        return Some(rest.trim_start());
    }
    let rest = rest.strip_prefix('[')?.trim_start();
    rest.strip_prefix('\'').or_else(|| rest.strip_prefix('"')).or_else(|| rest.strip_prefix("\\\""))
}

/// How long the text in quotes is with which the code begins; the whole, when it has no end.
fn quoted(code: &str) -> usize {
    let mut characters = code.char_indices();
    let quote = characters.next().map(|(_, c)| c);
    let mut is_escaped = false;
    for (at, c) in characters {
        if Some(c) == quote && !is_escaped {
            return at + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    code.len()
}

#[cfg(test)]
mod tests;
