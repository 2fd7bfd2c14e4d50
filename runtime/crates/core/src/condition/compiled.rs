//! A condition with its expressions compiled, and its evaluation.

use serde_json::Value;

use super::compare::{Comparator, is_truthy};
use super::{Asked, Comparison, Condition, Explanation, Group, Shown, Verdict};
use crate::expression::{ExpressionError, Program, Scope, has_expression, join_pointer};

/// A condition ready to be asked, any number of times.
#[derive(Debug)]
pub struct CompiledCondition {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Expression(Operand),
    Compare { value: Operand, comparator: Comparator, to: Option<Operand> },
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

#[derive(Debug)]
struct Operand {
    /// As it was written.
    text: String,
    program: Program,
    /// Relative to the condition.
    pointer: String,
}

impl CompiledCondition {
    /// Compiles every expression for a place where `locals` are known beside the usual names; errors carry pointers into the condition.
    pub fn compile(condition: &Condition, locals: &[&str]) -> Result<Self, Vec<ExpressionError>> {
        let mut compiler = Compiler { locals, errors: Vec::new() };
        match compiler.node(condition, "") {
            Some(root) if compiler.errors.is_empty() => Ok(Self { root }),
            _ => Err(compiler.errors),
        }
    }

    /// Asks, and says why the answer is what it is. What the answer does not depend on is not evaluated.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Verdict, ExpressionError> {
        let because = self.root.evaluate(scope)?;
        Ok(Verdict { holds: because.holds == Some(true), because })
    }

    /// The programs of its operands with their places, relative to the condition.
    pub fn programs(&self) -> Vec<(&str, &Program)> {
        let mut operands = Vec::new();
        self.root.collect(&mut operands);
        operands.into_iter().map(|operand| (operand.pointer.as_str(), &operand.program)).collect()
    }
}

struct Compiler<'l> {
    locals: &'l [&'l str],
    errors: Vec<ExpressionError>,
}

impl Compiler<'_> {
    /// `None` when something in it has been refused.
    fn node(&mut self, condition: &Condition, pointer: &str) -> Option<Node> {
        match condition {
            Condition::Expression(text) => {
                let braced = if has_expression(text) { text.clone() } else { format!("{{{{ {} }}}}", text.trim()) };
                self.operand(&Value::String(braced), text.clone(), pointer.to_owned()).map(Node::Expression)
            }
            Condition::Compare(compare) => {
                let comparator = self.comparator(compare.is, compare.to.as_ref(), pointer);
                let value = self.value(&compare.value, join_pointer(pointer, "value"));
                let to = compare.to.as_ref().map(|to| self.value(to, join_pointer(pointer, "to")));
                let to = match to {
                    Some(to) => Some(to?),
                    None => None,
                };
                Some(Node::Compare { value: value?, comparator: comparator?, to })
            }
            Condition::Group(Group::All(list)) => self.list(list, &join_pointer(pointer, "all")).map(Node::All),
            Condition::Group(Group::Any(list)) => self.list(list, &join_pointer(pointer, "any")).map(Node::Any),
            Condition::Group(Group::Not(inner)) => {
                self.node(inner, &join_pointer(pointer, "not")).map(Box::new).map(Node::Not)
            }
        }
    }

    fn list(&mut self, list: &[Condition], pointer: &str) -> Option<Vec<Node>> {
        let places = list.iter().enumerate();
        let nodes: Vec<_> =
            places.map(|(index, inner)| self.node(inner, &join_pointer(pointer, &index.to_string()))).collect();
        nodes.into_iter().collect()
    }

    fn comparator(&mut self, is: Comparison, to: Option<&Value>, pointer: &str) -> Option<Comparator> {
        let mut refuse = |key: &str, message: String| {
            self.errors.push(ExpressionError { pointer: join_pointer(pointer, key), message });
            None
        };
        match (is.takes_operand(), to) {
            (true, None) => refuse("is", format!("`is: {is}` needs a `to`: what the value is measured against")),
            (false, Some(_)) => refuse("to", format!("`is: {is}` takes no `to`: it asks about the value alone")),
            _ => Comparator::new(is, to).map_or_else(|message| refuse("to", message), Some),
        }
    }

    fn value(&mut self, value: &Value, pointer: String) -> Option<Operand> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.operand(value, text, pointer)
    }

    fn operand(&mut self, value: &Value, text: String, pointer: String) -> Option<Operand> {
        match Program::compile_with(value, self.locals) {
            Ok(program) => Some(Operand { text, program, pointer }),
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(|error| within(&pointer, error)));
                None
            }
        }
    }
}

fn within(pointer: &str, error: ExpressionError) -> ExpressionError {
    ExpressionError { pointer: format!("{pointer}{}", error.pointer), ..error }
}

impl Node {
    fn evaluate(&self, scope: &Scope<'_>) -> Result<Explanation, ExpressionError> {
        Ok(match self {
            Self::Expression(operand) => {
                let value = operand.render(scope)?;
                Explanation { holds: Some(is_truthy(&value)), asked: Asked::Expression(operand.shown(&value)) }
            }
            Self::Compare { value, comparator, to } => evaluate_compare(scope, value, comparator, to.as_ref())?,
            Self::All(nodes) => {
                let (found, of) = evaluate_until(scope, nodes, false)?;
                Explanation { holds: Some(!found), asked: Asked::All(of) }
            }
            Self::Any(nodes) => {
                let (found, of) = evaluate_until(scope, nodes, true)?;
                Explanation { holds: Some(found), asked: Asked::Any(of) }
            }
            Self::Not(inner) => {
                let inner = inner.evaluate(scope)?;
                Explanation { holds: inner.holds.map(|holds| !holds), asked: Asked::Not(Box::new(inner)) }
            }
        })
    }

    /// What would have been asked.
    fn unasked(&self) -> Explanation {
        let list = |nodes: &[Self]| nodes.iter().map(Self::unasked).collect();
        let asked = match self {
            Self::Expression(operand) => Asked::Expression(operand.unasked()),
            Self::Compare { value, comparator, to } => {
                let to = to.as_ref().map(Operand::unasked);
                Asked::Compare { value: value.unasked(), is: comparator.is(), to }
            }
            Self::All(nodes) => Asked::All(list(nodes)),
            Self::Any(nodes) => Asked::Any(list(nodes)),
            Self::Not(inner) => Asked::Not(Box::new(inner.unasked())),
        };
        Explanation { holds: None, asked }
    }

    fn collect<'n>(&'n self, operands: &mut Vec<&'n Operand>) {
        match self {
            Self::Expression(operand) => operands.push(operand),
            Self::Compare { value, to, .. } => operands.extend(std::iter::once(value).chain(to)),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.collect(operands)),
            Self::Not(inner) => inner.collect(operands),
        }
    }
}

/// Asks one after another until the answer of one is `wanted`; whether that was so.
fn evaluate_until(
    scope: &Scope<'_>,
    nodes: &[Node],
    wanted: bool,
) -> Result<(bool, Vec<Explanation>), ExpressionError> {
    let mut found = false;
    let mut of = Vec::with_capacity(nodes.len());
    for node in nodes {
        let explanation = if found { node.unasked() } else { node.evaluate(scope)? };
        found |= explanation.holds == Some(wanted);
        of.push(explanation);
    }
    Ok((found, of))
}

fn evaluate_compare(
    scope: &Scope<'_>,
    value: &Operand,
    comparator: &Comparator,
    to: Option<&Operand>,
) -> Result<Explanation, ExpressionError> {
    let is = comparator.is();
    let left = if is.takes_missing() { value.render_if_there(scope)? } else { Some(value.render(scope)?) };
    let right = to.map(|to| to.render(scope)).transpose()?;
    let holds = comparator
        .holds(left.as_ref(), right.as_ref())
        .map_err(|message| ExpressionError { pointer: value.pointer.clone(), message })?;
    let value = left.as_ref().map_or_else(|| value.unasked(), |left| value.shown(left));
    let to = to.zip(right.as_ref()).map(|(to, right)| to.shown(right));
    Ok(Explanation { holds: Some(holds), asked: Asked::Compare { value, is, to } })
}

impl Operand {
    fn render(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.program.render(scope).map_err(|error| within(&self.pointer, error))
    }

    /// `None` when what it reads is not there.
    fn render_if_there(&self, scope: &Scope<'_>) -> Result<Option<Value>, ExpressionError> {
        match self.render(scope) {
            Ok(value) => Ok(Some(value)),
            // Every message about a value that is not there says so in these words (`expression::scope`, `expression::template`).
            Err(error) if error.message.contains("is undefined") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn shown(&self, value: &Value) -> Shown {
        Shown { text: Shown::cut(&self.text), value: Some(Shown::cut(&value.to_string())) }
    }

    fn unasked(&self) -> Shown {
        Shown { text: Shown::cut(&self.text), value: None }
    }
}
