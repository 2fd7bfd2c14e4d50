//! The words of an expression's code, read without the engine: enough to know what it names and how deep it goes.

/// How many operators, names and calls may hang on one another, as in `a.b | c + d`. The engine follows them by recursion: an unoptimised
/// build needs 2 MiB of stack, what a thread has, for 850 to 2,400 of them.
const LINKS_MAX: usize = 256;

/// Refuses code so long-winded that the engine could not follow it; to be asked before the engine sees the code.
pub(super) fn check_depth(code: &str) -> Result<(), String> {
    // How many links there are since the last comma, for each bracket that is open.
    let mut open = vec![0_usize];
    let mut total = 0;
    for word in (Words { rest: code }) {
        let is_link = match word {
            Word::Symbol(')' | ']' | '}') if open.len() > 1 => {
                total -= open.pop().unwrap_or_default();
                false
            }
            Word::Symbol(',' | ':') => {
                total -= open.last_mut().map(std::mem::take).unwrap_or_default();
                false
            }
            Word::Symbol(symbol) => !matches!(symbol, '\'' | '"'),
            Word::Name(name) => matches!(name, "not" | "if" | "else" | "is" | "in" | "and" | "or"),
        };
        if is_link {
            total += 1;
            open.last_mut().into_iter().for_each(|links| *links += 1);
        }
        if matches!(word, Word::Symbol('(' | '[' | '{')) {
            open.push(0);
        }
        if total > LINKS_MAX {
            return Err(too_deep());
        }
    }
    Ok(())
}

/// The same for a template, whose `elif`s hang on one another too.
pub(super) fn check_depth_of_template(text: &str) -> Result<(), String> {
    /// The engine needs twice the stack of a link for one.
    const ELIFS_MAX: usize = LINKS_MAX / 2;
    let mut elifs = 0;
    for code in (Codes { rest: text }) {
        check_depth(code)?;
        elifs += usize::from(matches!(
            (Words { rest: code }).find(|word| matches!(word, Word::Name(_))),
            Some(Word::Name("elif"))
        ));
        if elifs > ELIFS_MAX {
            return Err(too_deep());
        }
    }
    Ok(())
}

fn too_deep() -> String {
    format!(
        "an expression is too long: up to {LINKS_MAX} operators and names may hang on one another; compute it in several steps, or in a plugin"
    )
}

/// The code of each `{{ … }}` and `{% … %}` of a text; comments and what `raw` encloses are passed over.
pub(super) struct Codes<'t> {
    pub(super) rest: &'t str,
}

impl<'t> Iterator for Codes<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let start = self.rest.find('{')?;
            let after = self.rest.get(start..)?;
            if !after.get(1..2).is_some_and(|second| matches!(second, "{" | "%" | "#")) {
                self.rest = after.get(1..)?;
                continue;
            }
            let (opener, inside) = after.split_at_checked(2)?;
            if opener == "{#" {
                self.rest = inside.split_once("#}").map_or("", |(_, rest)| rest);
                continue;
            }
            // Code without an end is an error, which the engine reports; it is still looked at.
            let end = code_end(inside, if opener == "{%" { "%}" } else { "}}" }).unwrap_or(inside.len());
            let (code, rest) = inside.split_at_checked(end)?;
            self.rest = rest.get(2..).unwrap_or_default();
            if opener == "{%" && bare(code) == "raw" {
                self.rest = after_raw(self.rest);
                continue;
            }
            return Some(code);
        }
    }
}

/// A statement without white space and the marks that trim it.
fn bare(code: &str) -> &str {
    code.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+')
}

/// What follows the next `{% endraw %}`.
fn after_raw(text: &str) -> &str {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{%") {
        if let Some((code, after)) = after.split_once("%}")
            && bare(code) == "endraw"
        {
            return after;
        }
        rest = after;
    }
    ""
}

/// Where the code ends: at `closer` outside of texts in quotes.
pub(super) fn code_end(inside: &str, closer: &str) -> Option<usize> {
    let mut words = Words { rest: inside };
    loop {
        let rest = words.rest.trim_start();
        if rest.starts_with(closer) || rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(closer)) {
            let at = inside.len() - rest.len();
            return Some(if rest.starts_with(closer) { at } else { at + 1 });
        }
        words.next()?;
    }
}

/// Names and symbols; white space, numbers' digits and texts in quotes are passed over.
pub(super) struct Words<'c> {
    pub(super) rest: &'c str,
}

pub(super) enum Word<'c> {
    Name(&'c str),
    Symbol(char),
}

impl<'c> Iterator for Words<'c> {
    type Item = Word<'c>;

    fn next(&mut self) -> Option<Word<'c>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        if is_name(first) {
            let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Word::Name(name));
        }
        self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
        if first == '\'' || first == '"' {
            let mut escaped = false;
            let end = self.rest.char_indices().find(|(_, c)| {
                let ends = *c == first && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            self.rest = end.map_or("", |(at, c)| self.rest.get(at + c.len_utf8()..).unwrap_or_default());
        }
        Some(Word::Symbol(first))
    }
}
