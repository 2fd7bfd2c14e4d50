//! What time it is for an expression: the moment and the zone that the scope gives, never a clock.

use std::sync::{Arc, OnceLock};

use jiff::Zoned;
use jiff::tz::TimeZone;
use minijinja::value::Object;
use minijinja::{Environment, State};
use serde_json::{Value, json};

use super::Filter;
use super::call::sentence;
use crate::time::Timestamp;
use crate::workflow::problem::similar;

/// Where the engine's context holds the clock. No expression can name it: it is no identifier.
pub(in crate::expression) const CLOCK: &str = " clock";

pub(super) const FILTERS: &[Filter] = &[];

/// The moment of an evaluation and the zone it is in.
#[derive(Debug)]
pub(in crate::expression) struct Clock {
    now: Timestamp,
    zone_name: String,
    zone: OnceLock<Result<TimeZone, String>>,
}

impl Object for Clock {}

impl Clock {
    pub(in crate::expression) fn new(now: Timestamp, zone: &str) -> Self {
        Self { now, zone_name: zone.to_owned(), zone: OnceLock::new() }
    }

    pub(super) fn of(state: &State<'_, '_>) -> Option<Arc<Self>> {
        state.lookup(CLOCK)?.downcast_object::<Self>()
    }

    /// The workflow's zone.
    pub(super) fn zone(&self) -> Result<TimeZone, String> {
        self.zone.get_or_init(|| zone_named(&self.zone_name)).clone()
    }

    pub(super) fn now(&self) -> Result<Zoned, String> {
        let millis = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(millis)
            .map_err(|_| "the time of the run is outside of the years that dates have".to_owned())?;
        Ok(now.to_zoned(self.zone()?))
    }
}

/// Looks a zone up in the database that is built in.
pub(super) fn zone_named(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        // An offset is no zone, but people try it.
        let names = jiff::tz::db().available().map(|zone| zone.to_string()).collect::<Vec<_>>();
        let cities = names.iter().filter_map(|zone| zone.rsplit_once('/').map(|(_, city)| (city, zone)));
        let by_city = cities.clone().find(|(city, _)| city.eq_ignore_ascii_case(&name.replace(' ', "_")));
        let near = by_city.map(|(_, zone)| zone.as_str()).or_else(|| similar(name, names.iter().map(String::as_str)));
        match near {
            Some(near) => format!("there is no such time zone; did you mean `{near}`?"),
            None => "there is no such time zone; zones are named as in `Europe/Berlin` or `UTC`".to_owned(),
        }
    })
}

/// Writes a moment as RFC 3339 in its zone; UTC is `Z`.
pub(super) fn iso(at: &Zoned) -> String {
    let offset =
        if at.time_zone() == &TimeZone::UTC || at.time_zone().iana_name() == Some("UTC") { "Z" } else { "%:z" };
    at.strftime(&format!("%Y-%m-%dT%H:%M:%S%.f{offset}")).to_string()
}

/// `right_now`: the parts of the moment in the workflow's zone.
pub(in crate::expression) fn right_now(now: Timestamp, zone: &str) -> Result<Value, String> {
    let at = Clock::new(now, zone).now().map_err(|error| format!("`right_now`: {error}"))?;
    let text = |format: &str| at.strftime(format).to_string();
    let hour_12 = if at.hour() % 12 == 0 { 12 } else { at.hour() % 12 };
    Ok(json!({
        "year": at.year(),
        "month": at.month(),
        "month_name": text("%B"),
        "month_english": text("%B"),
        "day": at.day(),
        "day_of_week": text("%A"),
        "day_of_year": at.day_of_year(),
        "hour": at.hour(),
        "hour_ampm": hour_12,
        "minute": at.minute(),
        "second": at.second(),
        "am_pm": text("%p"),
        "ampm": text("%p"),
        "time": text("%H:%M"),
        "time_ampm": text("%-I:%M %p"),
        "date": text("%Y-%m-%d"),
        "little_endian_date": text("%d/%m/%Y"),
        "middle_endian_date": text("%m/%d/%Y"),
        "iso": iso(&at),
        "unix": at.timestamp().as_second(),
        "zone": zone,
    }))
}

pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_function("now", |state: &mut State<'_, '_>| moment(state, "now").map(|at| iso(&at)));
    environment.add_function("today", |state: &mut State<'_, '_>| {
        moment(state, "today").map(|at| at.strftime("%Y-%m-%d").to_string())
    });
}

fn moment(state: &State<'_, '_>, function: &str) -> Result<Zoned, minijinja::Error> {
    let clock = Clock::of(state).ok_or_else(|| sentence(format!("`{function}()` has no clock here")))?;
    clock.now().map_err(|error| sentence(format!("`{function}()`: {error}")))
}
