//! The filters of the expression language: what each is called, what it takes, and how it is called.
//!
//! Everything here is a pure function of its arguments and of the scope's clock. Nothing reads a clock, draws randomness or does IO, and
//! no filter does work that its size limits and the engine's fuel do not bound.

mod array;
mod builtin;
mod call;
mod clock;
mod date;
mod digest;
mod encoding;
mod number;
mod object;
mod pattern;
mod phone;
mod table;
mod text;

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, State};

use call::Call;
pub(super) use call::is_sentence;
pub(super) use clock::{CLOCK, Clock, right_now};

/// What a filter answers.
type Outcome = Result<minijinja::Value, call::Refusal>;

/// A filter: `value | name(arguments)`.
pub(super) struct Filter {
    pub(super) name: &'static str,
    /// The names of its arguments, in order; each may also be given by its name.
    parameters: &'static [&'static str],
    /// Whether it takes any number of arguments after these.
    takes_more: Extra,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    Any,
}

const fn filter(
    name: &'static str,
    parameters: &'static [&'static str],
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> Filter {
    Filter { name, parameters, takes_more: Extra::None, run }
}

const fn filter_of_many(name: &'static str, run: fn(&mut Call<'_, '_, '_>) -> Outcome) -> Filter {
    Filter { name, parameters: &[], takes_more: Extra::Any, run }
}

/// Every filter of our own, area by area.
pub(super) fn filters() -> impl Iterator<Item = &'static Filter> {
    let areas: [&'static [Filter]; 11] = [
        text::FILTERS,
        pattern::FILTERS,
        number::FILTERS,
        date::FILTERS,
        array::FILTERS,
        table::FILTERS,
        object::FILTERS,
        encoding::FILTERS,
        digest::FILTERS,
        phone::FILTERS,
        clock::FILTERS,
    ];
    areas.into_iter().flatten()
}

/// Adds the filters, tests and functions to the engine's own.
pub(super) fn install(environment: &mut Environment<'static>) {
    builtin::install(environment);
    for filter in filters() {
        environment.add_filter(filter.name, move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            Call::new(filter, state, arguments.0).and_then(Call::run)
        });
    }
    clock::install(environment);
    date::install(environment);
    pattern::install(environment);
    object::install(environment);
}
