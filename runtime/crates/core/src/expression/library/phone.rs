//! Telephone numbers in E.164, the form that every interface takes: `+4930901820`.

use phonelib::PhoneNumber;

use super::call::Call;
use super::{Filter, Outcome, filter};

/// The longest text that is looked at: three times the longest number with all its spaces and brackets.
const TEXT_MAX: usize = 100;

pub(super) const FILTERS: &[Filter] = &[filter("phone", &["country"], phone)];

fn phone(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    let country = call.argument_text(0)?;
    if text.len() > TEXT_MAX {
        return Err(call.says("takes a telephone number and got a text that is too long for one"));
    }
    let has_country = text.trim_start().starts_with('+') || text.trim_start().starts_with("00");
    if country.is_none() && !has_country {
        return Err(call.says("got a number without its country; name the usual one, as in `phone('DE')`"));
    }
    // Finding the country and checking the digits takes some microseconds.
    call.pay(100)?;
    let parsed = match country.as_deref() {
        Some(country) => PhoneNumber::try_parse_with_country(&text, &country.to_ascii_uppercase()),
        None => PhoneNumber::try_parse(&text),
    };
    match parsed {
        Ok(number) => call.text_done(number.e164().to_owned()),
        Err(error) => Err(call.says(&format!("takes a telephone number and got none: {error}"))),
    }
}
