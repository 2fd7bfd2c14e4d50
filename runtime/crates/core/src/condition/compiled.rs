//! A condition with its expressions compiled, and its evaluation.

use serde_json::Value;

use super::{Asked, Comparison, Condition, Explanation, Group, Shown, Verdict, compare};
use crate::expression::{ExpressionError, Program, Scope, has_expression, join_pointer};

/// A condition ready to be asked, any number of times.
#[derive(Debug)]
pub struct CompiledCondition {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Expression(Operand),
    Compare { value: Operand, is: Comparison, to: Option<Operand> },
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
    /// Compiles every expression; errors carry pointers into the condition.
    pub fn compile(condition: &Condition) -> Result<Self, Vec<ExpressionError>> {
        let mut errors = Vec::new();
        let root = Node::compile(condition, "", &mut errors);
        match root {
            Some(root) if errors.is_empty() => Ok(Self { root }),
            _ => Err(errors),
        }
    }

    /// Asks, and says why the answer is what it is. What the answer does not depend on is not evaluated.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Verdict, ExpressionError> {
        let because = self.root.evaluate(scope)?;
        Ok(Verdict { holds: because.holds == Some(true), because })
    }
}

impl Node {
    fn compile(condition: &Condition, pointer: &str, errors: &mut Vec<ExpressionError>) -> Option<Self> {
        match condition {
            Condition::Expression(text) => {
                let braced = if has_expression(text) { text.clone() } else { format!("{{{{ {} }}}}", text.trim()) };
                Operand::compile(&Value::String(braced), text.clone(), pointer, errors).map(Self::Expression)
            }
            Condition::Compare(compare) => {
                let value = Operand::of(&compare.value, &join_pointer(pointer, "value"), errors);
                let to = compare.to.as_ref().map(|to| Operand::of(to, &join_pointer(pointer, "to"), errors));
                let to = match to {
                    Some(to) => Some(to?),
                    None => None,
                };
                Some(Self::Compare { value: value?, is: compare.is, to })
            }
            Condition::Group(Group::All(list)) => {
                Self::compile_list(list, &join_pointer(pointer, "all"), errors).map(Self::All)
            }
            Condition::Group(Group::Any(list)) => {
                Self::compile_list(list, &join_pointer(pointer, "any"), errors).map(Self::Any)
            }
            Condition::Group(Group::Not(inner)) => {
                Self::compile(inner, &join_pointer(pointer, "not"), errors).map(|inner| Self::Not(Box::new(inner)))
            }
        }
    }

    fn compile_list(list: &[Condition], pointer: &str, errors: &mut Vec<ExpressionError>) -> Option<Vec<Self>> {
        let nodes: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(index, inner)| Self::compile(inner, &join_pointer(pointer, &index.to_string()), errors))
            .collect();
        nodes.into_iter().collect()
    }

    fn evaluate(&self, scope: &Scope<'_>) -> Result<Explanation, ExpressionError> {
        Ok(match self {
            Self::Expression(operand) => {
                let value = operand.render(scope)?;
                Explanation { holds: Some(compare::is_truthy(&value)), asked: Asked::Expression(operand.shown(&value)) }
            }
            Self::Compare { value, is, to } => Self::evaluate_compare(scope, value, *is, to.as_ref())?,
            Self::All(nodes) => {
                let (holds, of) = Self::evaluate_list(scope, nodes, false)?;
                Explanation { holds: Some(!holds), asked: Asked::All(of) }
            }
            Self::Any(nodes) => {
                let (holds, of) = Self::evaluate_list(scope, nodes, true)?;
                Explanation { holds: Some(holds), asked: Asked::Any(of) }
            }
            Self::Not(inner) => {
                let inner = inner.evaluate(scope)?;
                Explanation { holds: inner.holds.map(|holds| !holds), asked: Asked::Not(Box::new(inner)) }
            }
        })
    }

    /// Evaluates until one of them is `wanted`; whether there was one.
    fn evaluate_list(
        scope: &Scope<'_>,
        nodes: &[Self],
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
        is: Comparison,
        to: Option<&Operand>,
    ) -> Result<Explanation, ExpressionError> {
        let left = if is.takes_missing() { value.render_if_there(scope)? } else { Some(value.render(scope)?) };
        let right = to.map(|to| to.render(scope)).transpose()?;
        let holds = compare::holds(left.as_ref(), is, right.as_ref())
            .map_err(|message| ExpressionError { pointer: value.pointer.clone(), message })?;
        let value = left.as_ref().map_or_else(|| value.unasked(), |left| value.shown(left));
        let to = to.zip(right.as_ref()).map(|(to, right)| to.shown(right));
        Ok(Explanation { holds: Some(holds), asked: Asked::Compare { value, is, to } })
    }

    /// What would have been asked.
    fn unasked(&self) -> Explanation {
        let list = |nodes: &[Self]| nodes.iter().map(Self::unasked).collect();
        let asked = match self {
            Self::Expression(operand) => Asked::Expression(operand.unasked()),
            Self::Compare { value, is, to } => {
                Asked::Compare { value: value.unasked(), is: *is, to: to.as_ref().map(Operand::unasked) }
            }
            Self::All(nodes) => Asked::All(list(nodes)),
            Self::Any(nodes) => Asked::Any(list(nodes)),
            Self::Not(inner) => Asked::Not(Box::new(inner.unasked())),
        };
        Explanation { holds: None, asked }
    }
}

impl Operand {
    fn of(value: &Value, pointer: &str, errors: &mut Vec<ExpressionError>) -> Option<Self> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self::compile(value, text, pointer, errors)
    }

    fn compile(value: &Value, text: String, pointer: &str, errors: &mut Vec<ExpressionError>) -> Option<Self> {
        let pointer = pointer.to_owned();
        match Program::compile(value) {
            Ok(program) => Some(Self { text, program, pointer }),
            Err(found) => {
                errors.extend(found.into_iter().map(|error| ExpressionError {
                    pointer: format!("{pointer}{}", error.pointer),
                    message: error.message,
                }));
                None
            }
        }
    }

    fn render(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.program.render(scope).map_err(|error| ExpressionError {
            pointer: format!("{}{}", self.pointer, error.pointer),
            message: error.message,
        })
    }

    /// `None` when what it reads is not there.
    fn render_if_there(&self, scope: &Scope<'_>) -> Result<Option<Value>, ExpressionError> {
        match self.render(scope) {
            Ok(value) => Ok(Some(value)),
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
