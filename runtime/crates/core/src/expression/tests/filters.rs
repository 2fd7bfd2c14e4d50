//! The filters beyond the examples of the documentation: wrong types, edges, limits.

use super::*;

#[test]
fn a_value_of_the_wrong_type_is_refused_by_name() {
    let wrong = [
        "[1] | upper",
        "none | slug",
        "{} | trim",
        "[1] | contains()",
        "none | contains('a')",
        "'a' | abs",
        "'a' | round",
        "[1] | round",
        "3 | join",
        "3 | first",
        "'a' | sum",
        "{} | where('a')",
        "3 | keys",
        "'a' | merge({})",
        "{} | merge(3)",
        "3 | get('a')",
        "[1] | to_columns",
        "3 | to_csv",
        "3 | from_csv",
        "[1] | sha256",
        "3 | from_json",
        "none | phone",
        "none | number",
        "true | format_date('x')",
        "'soon' | format_date('x')",
        "[1] | date_add('1 day')",
        "'a' | split(none)",
        "[1, 'a'] | sum",
        "['a'] | avg",
        "none | length",
        "3 | map('upper')",
        "3 | items",
        "3 | dictsort",
        "none | batch(2)",
        "none | reverse",
        "'a' | unique",
        "3 | sort",
        "'a' | pick('a')",
        "{} | pick",
        "{} | omit(3)",
    ];
    let texts: Vec<_> = wrong.iter().map(|text| format!("{{{{ {text} }}}}")).collect();
    table(
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
        &expect![[r#"
        {{ [1] | upper }}
            error : `upper` takes a text and got an array
        {{ none | slug }}
            error : `slug` takes a text and got null
        {{ {} | trim }}
            error : `trim` takes a text and got an object
        {{ [1] | contains() }}
            error : `contains` needs the argument `part`: a value
        {{ none | contains('a') }}
            error : `contains` takes a text, an array or an object and got null
        {{ 'a' | abs }}
            error : `abs` takes a number and got a text
        {{ 'a' | round }}
            error : `round` takes a number and got a text; make it one with `| number`
        {{ [1] | round }}
            error : `round` takes a number and got an array
        {{ 3 | join }}
            error : `join` takes a text or an array and got a number
        {{ 3 | first }}
            error : `first` takes a text or an array and got a number
        {{ 'a' | sum }}
            error : `sum` takes an array and got a text
        {{ {} | where('a') }}
            error : `where` takes an array and got an object
        {{ 3 | keys }}
            error : `keys` takes an object and got a number
        {{ 'a' | merge({}) }}
            error : `merge` takes an object and got a text
        {{ {} | merge(3) }}
            error : the argument `other` of `merge` takes an object and got a number
        {{ 3 | get('a') }}
            error : `get` takes an object or an array and got a number
        {{ [1] | to_columns }}
            error : `to_columns` takes an array of objects, and item 0 is none
        {{ 3 | to_csv }}
            error : `to_csv` takes an array and got a number
        {{ 3 | from_csv }}
            error : `from_csv` takes a text and got a number
        {{ [1] | sha256 }}
            error : `sha256` takes a text and got an array
        {{ 3 | from_json }}
            error : `from_json` takes a text and got a number
        {{ none | phone }}
            error : `phone` takes a text and got null
        {{ none | number }}
            error : `number` takes a text or a number and got null
        {{ true | format_date('x') }}
            error : `format_date` takes a date and got true or false
        {{ 'soon' | format_date('x') }}
            error : `format_date` takes a date and got a text that is none; dates are written as in `2026-11-23`, `2026-11-23T09:00:00Z` or a Unix time, and `| parse_date('DD.MM.YYYY')` reads other forms
        {{ [1] | date_add('1 day') }}
            error : `date_add` takes a date and got an array
        {{ 'a' | split(none) }}
            ["a"]
        {{ [1, 'a'] | sum }}
            error : `sum` takes numbers, and item 1 is none; make it one with `| map('number')`
        {{ ['a'] | avg }}
            error : `avg` takes numbers, and item 0 is none; make it one with `| map('number')`
        {{ none | length }}
            error : `length` takes a text, an array or an object and got null
        {{ 3 | map('upper') }}
            error : `map` takes an array or an object and got a number
        {{ 3 | items }}
            error : `items` takes an object and got a number
        {{ 3 | dictsort }}
            error : `dictsort` takes an object and got a number
        {{ none | batch(2) }}
            error : `batch` takes an array and got null
        {{ none | reverse }}
            error : `reverse` takes a text or an array and got null
        {{ 'a' | unique }}
            error : `unique` takes an array and got a text
        {{ 3 | sort }}
            error : `sort` takes an array and got a number
        {{ 'a' | pick('a') }}
            error : `pick` takes an object and got a text
        {{ {} | pick }}
            error : `pick` needs the names of fields, as in `pick('name')`
        {{ {} | omit(3) }}
            error : the argument `value` of `omit` takes the names of fields and got a number
    "#]],
    );
    // No filter says it in the engine's words only.
    for name in FILTERS.iter() {
        for value in ["none", "[none]", "{'a': none}", "-1", "'\u{fffd}'"] {
            let shown = shown(json!(format!("{{{{ {value} | {name} }}}}")));
            let is_sentence = shown.contains(&format!("`{name}`")) || shown.contains("is undefined");
            assert!(!shown.starts_with("error") || is_sentence, "{value} | {name}: {shown}");
        }
    }
}

#[test]
fn arguments_are_checked() {
    table(
        &[
            "{{ 'a' | truncate }}",
            "{{ 'a' | truncate('x') }}",
            "{{ 'a' | truncate(-1) }}",
            "{{ 'a' | truncate(3, end='.', lenght=3) }}",
            "{{ 'a' | truncate(3, length=3) }}",
            "{{ 'a' | truncate(1, 2, 3) }}",
            "{{ 'a' | slug('-', 'x') }}",
            "{{ 'a' | words(1) }}",
            "{{ 'a' | pad_left(5, '') }}",
            "{{ 'a' | pad_left(1000000000) }}",
            "{{ 'ab' | repeat(9999) | repeat(9999) }}",
            "{{ 'a' | sha256('hexx') }}",
            "{{ 'a' | regex_match('(') }}",
            "{{ 'a' | regex_match('a{1,9999}{1,9999}') }}",
            "{{ 'a' | regex_match('(?=a)') }}",
            "{{ 'a' | regex_find('b') }}",
            "{{ 'a' | regex_find('b') | default('none') }}",
            "{{ 5 | round('x') }}",
            "{{ 5 | round(0, 'up') }}",
            "{{ [1] | chunk(0) }}",
            "{{ [1] | where('', '=>', 1) }}",
            "{{ [{'a': 1}, {}] | pluck('a') }}",
            "{{ 'now' | date_add('1 day') }}",
            "{{ now() | date_add('soon') }}",
            "{{ now() | date_add(1, 'fortnight') }}",
            "{{ now() | date_add('99999 years') }}",
            "{{ now() | to_zone('Berlin') }}",
            "{{ now() | to_zone('Europe/Berlni') }}",
            "{{ now() | to_zone('+01:00') }}",
            "{{ now() | start_of('dya') }}",
            "{{ now() | date_part }}",
            "{{ now() | format_date('%999999999Y') }}",
            "{{ now() | format_date('%!') }}",
            "{{ '31.02.2026' | parse_date('DD.MM.YYYY') }}",
            "{{ '0151 1' | phone('DE') }}",
            "{{ '030 901820' | phone }}",
            "{{ '030 901820' | phone('XX') }}",
            "{{ '1.2.3' | number }}",
            "{{ 'abc' | integer }}",
            "{{ 1 | percent_of(0) }}",
            "{{ '!' | base64_decode }}",
            "{{ '/w==' | base64_decode }}",
            "{{ '{' | from_json }}",
            "{{ 'a b' | parse_url }}",
            "{{ {'a': {}} | to_query }}",
            "{{ 'a' | uppercase }}",
            "{{ ['a'] | map('slgu') }}",
            "{{ [1] | select('evne') }}",
            "{{ 'a' | slug(trigger.body.missing) }}",
            "{{ trigger.body.missing | slug }}",
            "{{ trigger.body.missing | default('A b') | slug }}",
        ],
        &expect![[r#"
            {{ 'a' | truncate }}
                error : `truncate` needs the argument `length`: a whole number
            {{ 'a' | truncate('x') }}
                error : the argument `length` of `truncate` takes a whole number and got a text
            {{ 'a' | truncate(-1) }}
                error : `truncate` takes a whole number from 0 to 1048576 as `length`
            {{ 'a' | truncate(3, end='.', lenght=3) }}
                error : `truncate` has no argument `lenght`; did you mean `length`?
            {{ 'a' | truncate(3, length=3) }}
                error : `truncate` is given `length` twice
            {{ 'a' | truncate(1, 2, 3) }}
                error : `truncate` takes up to 2 arguments: length, end
            {{ 'a' | slug('-', 'x') }}
                error : `slug` takes one argument: separator
            {{ 'a' | words(1) }}
                error : `words` takes no arguments
            {{ 'a' | pad_left(5, '') }}
                error : `pad_left` cannot pad with an empty text
            {{ 'a' | pad_left(1000000000) }}
                error : `pad_left` takes a whole number from 0 to 10000 as `width`
            {{ 'ab' | repeat(9999) | repeat(9999) }}
                error : the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
            {{ 'a' | sha256('hexx') }}
                error : `sha256` takes one of hex, base64, base64url as `encoding`; did you mean `hex`?
            {{ 'a' | regex_match('(') }}
                error : `regex_match`: the pattern is no regular expression: unclosed group
            {{ 'a' | regex_match('a{1,9999}{1,9999}') }}
                error : `regex_match`: the pattern is too large; repeat fewer times, as in `a{1,20}` for `a{1,9999}`
            {{ 'a' | regex_match('(?=a)') }}
                error : `regex_match`: the pattern is no regular expression: look-around, including look-ahead and look-behind, is not supported
            {{ 'a' | regex_find('b') }}
                error : the expression is undefined; give it a value for that case with `| default(…)`
            {{ 'a' | regex_find('b') | default('none') }}
                "none"
            {{ 5 | round('x') }}
                error : the argument `precision` of `round` takes a whole number from -28 to 28 and got a text
            {{ 5 | round(0, 'up') }}
                error : `round` takes one of half-up, half-even, common, ceil, floor as `method`
            {{ [1] | chunk(0) }}
                error : `chunk` takes a `size` of 1 or more
            {{ [1] | where('', '=>', 1) }}
                error : `where` takes one of ==, !=, >, >=, <, <=, in, not in, contains, starts_with, ends_with as `operator`
            {{ [{'a': 1}, {}] | pluck('a') }}
                error : `pluck` found no such attribute in item 1; give a default, as in `pluck('name', '')`
            {{ 'now' | date_add('1 day') }}
                error : `date_add` takes a date and got a text that is none; dates are written as in `2026-11-23`, `2026-11-23T09:00:00Z` or a Unix time, and `| parse_date('DD.MM.YYYY')` reads other forms
            {{ now() | date_add('soon') }}
                error : `date_add` takes a duration such as `3 days` or `2h 30m`, or a whole number and a unit
            {{ now() | date_add(1, 'fortnight') }}
                error : `date_add` takes a duration such as `3 days` or `2h 30m`, or a whole number and a unit
            {{ now() | date_add('99999 years') }}
                error : `date_add` takes a duration such as `3 days` or `2h 30m`, or a whole number and a unit
            {{ now() | to_zone('Berlin') }}
                error : `to_zone` is given a zone: there is no such time zone; did you mean `Europe/Berlin`?
            {{ now() | to_zone('Europe/Berlni') }}
                error : `to_zone` is given a zone: there is no such time zone; did you mean `Europe/Berlin`?
            {{ now() | to_zone('+01:00') }}
                error : `to_zone` is given a zone: there is no such time zone; zones are named as in `Europe/Berlin` or `UTC`
            {{ now() | start_of('dya') }}
                error : `start_of` takes one of day, hour, week, month, quarter, year as `unit`
            {{ now() | date_part }}
                error : `date_part` needs the argument `part`: one of year, quarter, month, week, day, day_of_year, weekday, hour, minute, second, millisecond, offset
            {{ now() | format_date('%999999999Y') }}
                error : `format_date` takes a form without widths, such as `%Y-%m-%d`
            {{ now() | format_date('%!') }}
                "%!"
            {{ '31.02.2026' | parse_date('DD.MM.YYYY') }}
                error : `parse_date` got a text that does not have the form of its `format`
            {{ '0151 1' | phone('DE') }}
                "+491511"
            {{ '030 901820' | phone }}
                error : `phone` got a number without its country; name the usual one, as in `phone('DE')`
            {{ '030 901820' | phone('XX') }}
                error : `phone` takes a telephone number and got none: unknown ISO 3166-1 alpha-2 country code
            {{ '1.2.3' | number }}
                error : `number` takes a number or a text that is one, and got a text that is none; texts such as `1.234,50` need `decimal=','`
            {{ 'abc' | integer }}
                error : `integer` takes a number or a text that is one, and got a text that is none; texts such as `1.234,50` need `decimal=','`
            {{ 1 | percent_of(0) }}
                error : `percent_of` cannot divide by 0, or by so small a number
            {{ '!' | base64_decode }}
                error : `base64_decode` takes base64 and got a text that is none
            {{ '/w==' | base64_decode }}
                error : `base64_decode` takes base64 of a text in UTF-8, and got that of something else
            {{ '{' | from_json }}
                error : `from_json` takes JSON; line 1, column 1 is none
            {{ 'a b' | parse_url }}
                error : `parse_url` takes a URL such as `https://example.com/a?b=c` and got none: relative URL without a base
            {{ {'a': {}} | to_query }}
                error : `to_query` takes an object whose values are texts, numbers, true or false, or arrays of these
            {{ 'a' | uppercase }}
                error compile : there is no filter `uppercase`; did you mean `upper`?
            {{ ['a'] | map('slgu') }}
                error : `map`: there is no filter `slgu`; did you mean `slug`?
            {{ [1] | select('evne') }}
                error : `select`: there is no test `evne`; did you mean `even`?
            {{ 'a' | slug(trigger.body.missing) }}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.body.missing | slug }}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.body.missing | default('A b') | slug }}
                "a-b"
        "#]],
    );
}

#[test]
fn dates_follow_the_calendar_and_the_changes_of_the_clock() {
    let (run, workflow) = (run(json!({})), workflow());
    let scope = Scope::of(&run, &workflow).at(HALF_PAST_NINE, "Europe/Berlin");
    let expressions = [
        // The clock goes from 2 to 3 on 29 March 2026 and from 3 to 2 on 25 October.
        "'2026-03-29T02:30' | parse_date",
        "'2026-10-25T02:30' | parse_date",
        "'2026-03-28T12:00' | date_add('24 hours')",
        "'2026-03-28T12:00' | date_add('1 day')",
        "'2026-03-30' | date_diff('2026-03-29', 'hours')",
        "'2026-10-26' | date_diff('2026-10-25', 'hours')",
        "'2026-10-26' | date_diff('2026-10-25', 'days')",
        "'2026-03-29T12:00' | start_of('day')",
        "'2026-03-29T12:00' | end_of('day')",
        "'2026-10-25' | end_of('day')",
        "'2024-02-29' | date_add('1 year')",
        "'2026-01-31' | date_add('1 month')",
        "'2026-03-31' | date_subtract('1 month')",
        "'2026-11-22' | start_of('week')",
        "'2026-11-22' | start_of('week', 'sunday')",
        "'2026-11-22' | end_of('quarter')",
        "'2026-11-22' | end_of('hour')",
        "'2026-11-22' | start_of('year', zone='America/New_York')",
        "'2027-01-01' | date_part('week')",
        "'2026-11-23T23:30:00Z' | weekday",
        "'2026-11-23T23:30:00Z' | weekday('UTC')",
        "1763884800 | parse_date",
        "1763884800123 | parse_date",
        "'1763884800' | parse_date",
        "'Mon, 23 Nov 2026 09:00:00 +0000' | parse_date",
        "'2026-11-23T09:00:00.250+05:30' | parse_date",
        "'23 November 2026' | parse_date('D MMMM YYYY')",
        "'11/23/26 5:07 pm' | parse_date('MM/DD/YY h:mm a')",
        "'2026-11-23 09:00 -0500' | parse_date('YYYY-MM-DD HH:mm ZZ')",
        "'2026-11-23' | parse_date('YYYY-MM-DD', 'Asia/Tokyo')",
        "now() | format_date('YYYY [at] HH:mm:ss.SSS Z [100%]')",
        "now() | format_date('iso', 'UTC')",
        "now() | format_date('%%')",
        "now() | format_date('%')",
        "now() | format_date('rfc2822')",
        "now() | format_date('Do D DD Q WW X')",
        "'2026-11-20' | add_workdays(-5)",
        "'2026-11-21' | add_workdays(1)",
        "'2026-11-23' is before(now())",
        "'2026-11-23T09:30:05+01:00' is after(now())",
        "'2026-12-24' | date_diff(now(), 'weeks')",
        "'2020-02-29' | date_diff('2026-02-28', 'years')",
    ];
    let shown = expressions.iter().map(|text| {
        let value = Expression::compile(text).and_then(|expression| expression.evaluate(&scope));
        format!("{text}\n    {}\n", value.map_or_else(|error| format!("error {error}"), |value| value.to_string()))
    });
    expect![[r#"
        '2026-03-29T02:30' | parse_date
            "2026-03-29T03:30:00+02:00"
        '2026-10-25T02:30' | parse_date
            "2026-10-25T02:30:00+02:00"
        '2026-03-28T12:00' | date_add('24 hours')
            "2026-03-29T13:00:00+02:00"
        '2026-03-28T12:00' | date_add('1 day')
            "2026-03-29T12:00:00+02:00"
        '2026-03-30' | date_diff('2026-03-29', 'hours')
            23
        '2026-10-26' | date_diff('2026-10-25', 'hours')
            25
        '2026-10-26' | date_diff('2026-10-25', 'days')
            1
        '2026-03-29T12:00' | start_of('day')
            "2026-03-29T00:00:00+01:00"
        '2026-03-29T12:00' | end_of('day')
            "2026-03-29T23:59:59.999+02:00"
        '2026-10-25' | end_of('day')
            "2026-10-25T23:59:59.999+01:00"
        '2024-02-29' | date_add('1 year')
            "2025-02-28T00:00:00+01:00"
        '2026-01-31' | date_add('1 month')
            "2026-02-28T00:00:00+01:00"
        '2026-03-31' | date_subtract('1 month')
            "2026-02-28T00:00:00+01:00"
        '2026-11-22' | start_of('week')
            "2026-11-16T00:00:00+01:00"
        '2026-11-22' | start_of('week', 'sunday')
            "2026-11-22T00:00:00+01:00"
        '2026-11-22' | end_of('quarter')
            "2026-12-31T23:59:59.999+01:00"
        '2026-11-22' | end_of('hour')
            "2026-11-22T00:59:59.999+01:00"
        '2026-11-22' | start_of('year', zone='America/New_York')
            "2026-01-01T00:00:00-05:00"
        '2027-01-01' | date_part('week')
            53
        '2026-11-23T23:30:00Z' | weekday
            "Tuesday"
        '2026-11-23T23:30:00Z' | weekday('UTC')
            "Monday"
        1763884800 | parse_date
            "2025-11-23T09:00:00+01:00"
        1763884800123 | parse_date
            "2025-11-23T09:00:00.123+01:00"
        '1763884800' | parse_date
            "2025-11-23T09:00:00+01:00"
        'Mon, 23 Nov 2026 09:00:00 +0000' | parse_date
            "2026-11-23T10:00:00+01:00"
        '2026-11-23T09:00:00.250+05:30' | parse_date
            "2026-11-23T04:30:00.25+01:00"
        '23 November 2026' | parse_date('D MMMM YYYY')
            "2026-11-23T00:00:00+01:00"
        '11/23/26 5:07 pm' | parse_date('MM/DD/YY h:mm a')
            "2026-11-23T17:07:00+01:00"
        '2026-11-23 09:00 -0500' | parse_date('YYYY-MM-DD HH:mm ZZ')
            "2026-11-23T15:00:00+01:00"
        '2026-11-23' | parse_date('YYYY-MM-DD', 'Asia/Tokyo')
            "2026-11-23T00:00:00+09:00"
        now() | format_date('YYYY [at] HH:mm:ss.SSS Z [100%]')
            "2026 at 09:30:05.000 +01:00 100%"
        now() | format_date('iso', 'UTC')
            "2026-11-23T08:30:05Z"
        now() | format_date('%%')
            "%%"
        now() | format_date('%')
            "%"
        now() | format_date('rfc2822')
            "Mon, 23 Nov 2026 09:30:05 +0100"
        now() | format_date('Do D DD Q WW X')
            "23rd 23 23 4 48 1795422605"
        '2026-11-20' | add_workdays(-5)
            "2026-11-13T00:00:00+01:00"
        '2026-11-21' | add_workdays(1)
            "2026-11-23T00:00:00+01:00"
        '2026-11-23' is before(now())
            true
        '2026-11-23T09:30:05+01:00' is after(now())
            false
        '2026-12-24' | date_diff(now(), 'weeks')
            4
        '2020-02-29' | date_diff('2026-02-28', 'years')
            -5
    "#]]
    .assert_eq(&shown.collect::<String>());
}

#[test]
fn edges_of_the_other_filters() {
    table(
        &[
            "{{ 'Grüße' | truncate(5) }}",
            "{{ 'Grüße' | truncate(4) }}",
            "{{ 'abc' | truncate(0) }}",
            "{{ 'abc' | substring(9) }}",
            "{{ 'a.b.c' | text_before('.') }}{{ 'abc' | text_after('.') }}",
            "{{ '日本語 text' | slug }}",
            "{{ 'a b' | slug('_') }}",
            "{{ 'a < b &lt; c <script>x</script><!-- y --> <br/>d' | strip_html }}",
            "{{ '<' | strip_html }}",
            "{{ 0.1 + 0.2 }} {{ [0.1, 0.2] | sum }}",
            "{{ 2.5 | round }} {{ 3.5 | round(0, 'half-even') }} {{ 2.5 | round(method='half-even') }} {{ -2.5 | round }}",
            "{{ 1234 | round(-2) }} {{ 1.005 | round(2) }}",
            "{{ -1234567.5 | format_number }} {{ 0 | format_number(2) }} {{ 999 | format_number(0) }} {{ 12345678901234567890 | format_number }}",
            "{{ -3.456 | currency }} {{ 3 | currency('€', 0) }} {{ -0.001 | currency }}",
            "{{ ' 12 % ' | number }} {{ '-1,000' | number }} {{ '1e3' | number }} {{ true | number }} {{ 3 | number }}",
            "{{ 11 | ordinal }} {{ 101 | ordinal }} {{ 112 | ordinal }} {{ -1 | ordinal }}",
            "{{ [] | sum }} {{ [none, 1] | sum }} {{ [] | avg | default('no') }}",
            "{{ [1, 1.0, '1', true] | unique | length }} {{ [1, 1.0, '1'] | union([]) }}",
            "{{ [3, none, 'a', 1] | sort_by('') }}",
            "{{ [{'a': {'b': 2}}, {'a': {'b': 1}}] | sort_by('a.b') | pluck('a.b') }}",
            "{{ [{'a': none}, {}, {'a': 0}] | where('a', none) | length }}",
            "{{ [{'t': ['x', 'y']}, {'t': 'xyz'}, {'t': 'a'}] | where('t', 'contains', 'x') | length }}",
            "{{ [{'n': 1}, {'n': '1'}] | where('n', '>', 0) | length }}",
            "{{ [1, 2, 3] | where('', 'in', [2, 3]) }} {{ [1, 2, 3] | where('', 'not in', [2, 3]) }}",
            "{{ {'a.b': 1, 'a': {'b': 2}} | get('a.b') }} {{ {'a': none} | get('a', 1) }} {{ {} | get('x', none) }}",
            "{{ {'a': {'x': 1, 'y': 2}} | merge({'a': {'x': 3}}) }} {{ {'a': {'x': 1, 'y': 2}} | merge({'a': {'x': 3}}, deep=true) }}",
            "{{ [['a', 1], ['b', 2]] | to_object }}",
            "{{ [[1, [2]], [[[3]]]] | flatten(9) }}",
            "{{ {} | to_line_items }} {{ {'a': []} | to_line_items }} {{ {'a': 1} | to_line_items }}",
            "{{ [{'a': 1, 'b': [2]}, {'c': 'x\\ny'}] | to_csv(separator=';') }}",
            "{{ [{'a': 1}] | to_csv(header=false) }}",
            "{{ 'a,b\\n1\\n2,3,4\\n' | from_csv }}",
            "{{ '\"a\"\"b\",c' | from_csv(header=false) }}",
            "{{ [] | to_csv }}|{{ '' | from_csv }}",
            "{{ {'a': [1, {'b': 2}]} | to_json(2) }}",
            "{{ 'YQ' | base64_decode }}{{ 'Y Q = =' | base64_decode }}{{ '_-8' | base64_decode | default('x') if false else '' }}",
            "{{ 'ÄÖ ü/?' | url_encode }} {{ 'a+b%2B' | url_decode }}",
            "{{ 'aXbX' | regex_replace('x', '') }} {{ 'aXbX' | regex_replace('(?i)x', '<$0>') }}",
            "{{ '2026-11' | regex_find('(?P<year>[0-9]+)-(?P<month>[0-9]+)', 'month') }}",
            "{{ 'a' is empty }} {{ '' is empty }} {{ {} is not empty }} {{ 0 is empty }}",
        ],
        &expect![[r#"
            {{ 'Grüße' | truncate(5) }}
                "Grüße"
            {{ 'Grüße' | truncate(4) }}
                "Grü…"
            {{ 'abc' | truncate(0) }}
                ""
            {{ 'abc' | substring(9) }}
                ""
            {{ 'a.b.c' | text_before('.') }}{{ 'abc' | text_after('.') }}
                "aabc"
            {{ '日本語 text' | slug }}
                "ri-ben-yu-text"
            {{ 'a b' | slug('_') }}
                "a_b"
            {{ 'a < b &lt; c <script>x</script><!-- y --> <br/>d' | strip_html }}
                "a < b < c  \nd"
            {{ '<' | strip_html }}
                "<"
            {{ 0.1 + 0.2 }} {{ [0.1, 0.2] | sum }}
                "0.30000000000000004 0.3"
            {{ 2.5 | round }} {{ 3.5 | round(0, 'half-even') }} {{ 2.5 | round(method='half-even') }} {{ -2.5 | round }}
                "3 4 2 -3"
            {{ 1234 | round(-2) }} {{ 1.005 | round(2) }}
                "1200 1.01"
            {{ -1234567.5 | format_number }} {{ 0 | format_number(2) }} {{ 999 | format_number(0) }} {{ 12345678901234567890 | format_number }}
                "-1,234,567.5 0.00 999 12,345,678,901,234,567,890"
            {{ -3.456 | currency }} {{ 3 | currency('€', 0) }} {{ -0.001 | currency }}
                "-$3.46 €3 $0.00"
            {{ ' 12 % ' | number }} {{ '-1,000' | number }} {{ '1e3' | number }} {{ true | number }} {{ 3 | number }}
                "12 -1000 1000 1 3"
            {{ 11 | ordinal }} {{ 101 | ordinal }} {{ 112 | ordinal }} {{ -1 | ordinal }}
                "11th 101st 112th -1st"
            {{ [] | sum }} {{ [none, 1] | sum }} {{ [] | avg | default('no') }}
                "0 1 no"
            {{ [1, 1.0, '1', true] | unique | length }} {{ [1, 1.0, '1'] | union([]) }}
                "2 [1,\"1\"]"
            {{ [3, none, 'a', 1] | sort_by('') }}
                [1,3,"a",null]
            {{ [{'a': {'b': 2}}, {'a': {'b': 1}}] | sort_by('a.b') | pluck('a.b') }}
                [1,2]
            {{ [{'a': none}, {}, {'a': 0}] | where('a', none) | length }}
                2
            {{ [{'t': ['x', 'y']}, {'t': 'xyz'}, {'t': 'a'}] | where('t', 'contains', 'x') | length }}
                2
            {{ [{'n': 1}, {'n': '1'}] | where('n', '>', 0) | length }}
                1
            {{ [1, 2, 3] | where('', 'in', [2, 3]) }} {{ [1, 2, 3] | where('', 'not in', [2, 3]) }}
                "[2,3] [1]"
            {{ {'a.b': 1, 'a': {'b': 2}} | get('a.b') }} {{ {'a': none} | get('a', 1) }} {{ {} | get('x', none) }}
                "1 null null"
            {{ {'a': {'x': 1, 'y': 2}} | merge({'a': {'x': 3}}) }} {{ {'a': {'x': 1, 'y': 2}} | merge({'a': {'x': 3}}, deep=true) }}
                "{\"a\":{\"x\":3}} {\"a\":{\"x\":3,\"y\":2}}"
            {{ [['a', 1], ['b', 2]] | to_object }}
                {"a":1,"b":2}
            {{ [[1, [2]], [[[3]]]] | flatten(9) }}
                [1,2,3]
            {{ {} | to_line_items }} {{ {'a': []} | to_line_items }} {{ {'a': 1} | to_line_items }}
                "[] [] [{\"a\":1}]"
            {{ [{'a': 1, 'b': [2]}, {'c': 'x\ny'}] | to_csv(separator=';') }}
                "a;b;c\n1;[2];\n;;\"x\ny\"\n"
            {{ [{'a': 1}] | to_csv(header=false) }}
                "1\n"
            {{ 'a,b\n1\n2,3,4\n' | from_csv }}
                [{"a":"1"},{"a":"2","b":"3"}]
            {{ '"a""b",c' | from_csv(header=false) }}
                [["a\"b","c"]]
            {{ [] | to_csv }}|{{ '' | from_csv }}
                "|[]"
            {{ {'a': [1, {'b': 2}]} | to_json(2) }}
                "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ]\n}"
            {{ 'YQ' | base64_decode }}{{ 'Y Q = =' | base64_decode }}{{ '_-8' | base64_decode | default('x') if false else '' }}
                "aa"
            {{ 'ÄÖ ü/?' | url_encode }} {{ 'a+b%2B' | url_decode }}
                "%C3%84%C3%96%20%C3%BC%2F%3F a b+"
            {{ 'aXbX' | regex_replace('x', '') }} {{ 'aXbX' | regex_replace('(?i)x', '<$0>') }}
                "aXbX a<X>b<X>"
            {{ '2026-11' | regex_find('(?P<year>[0-9]+)-(?P<month>[0-9]+)', 'month') }}
                "11"
            {{ 'a' is empty }} {{ '' is empty }} {{ {} is not empty }} {{ 0 is empty }}
                "false true false false"
        "#]],
    );
}
