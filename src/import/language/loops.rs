//! `~SEQ`, `~SEQx` and `~LST`: the rest of a line once for each value.

/// A loop and what it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loop<'l> {
    /// The names it sets.
    pub(super) names: Vec<String>,
    /// What they stand for, round by round.
    pub(super) rounds: Vec<Vec<String>>,
    /// What is repeated.
    pub(super) rest: &'l str,
}

/// How many rounds a loop may have.
const MOST: i64 = 65_536;

/// Reads a line that begins with `~`; `expand` replaces names in what stands in the brackets.
pub(super) fn read(line: &str, expand: impl Fn(&str) -> String) -> Result<Loop<'_>, String> {
    let (hexadecimal, list, after) = if let Some(after) = line.strip_prefix("~SEQx") {
        (true, false, after)
    } else if let Some(after) = line.strip_prefix("~SEQ") {
        (false, false, after)
    } else if let Some(after) = line.strip_prefix("~LST") {
        (false, true, after)
    } else {
        return Err("is neither ~SEQ, ~SEQx nor ~LST".to_owned());
    };
    let inside = after.trim_start().strip_prefix('(').and_then(|after| after.split_once(')'));
    let (inside, rest) = inside.ok_or("has no brackets")?;
    let inside = expand(inside);
    let (names, rounds) = if list { values(&inside)? } else { numbers(&inside, hexadecimal)? };
    Ok(Loop { names, rounds, rest: rest.trim() })
}

type Rounds = (Vec<String>, Vec<Vec<String>>);

/// `name, [[first, [step,]] last`.
fn numbers(inside: &str, hexadecimal: bool) -> Result<Rounds, String> {
    let (name, numbers) = inside.split_once(',').ok_or("has no numbers")?;
    let numbers: Option<Vec<i64>> = numbers.split(',').map(|text| number(text.trim())).collect();
    let numbers = numbers.ok_or("has something in it that is no number")?;
    let (first, step, last) = match *numbers.as_slice() {
        [last] => (if last < 0 { -1 } else { 1 }, if last < 1 { -1 } else { 1 }, last),
        [first, last] => (first, if first <= last { 1 } else { -1 }, last),
        [first, step, last] => (first, step, last),
        _ => return Err("has more than three numbers".to_owned()),
    };
    if step == 0 || (first < last && step < 0) || (first > last && step > 0) {
        return Err("never reaches its end".to_owned());
    }
    if hexadecimal && (first < 0 || last < 0) {
        return Err("can have positive numbers only".to_owned());
    }
    let count = (last.saturating_sub(first) / step).saturating_add(1);
    if count > MOST {
        return Err(format!("has {count} rounds; {MOST} are the limit"));
    }
    let shown = |n: i64| if hexadecimal { format!("{n:x}") } else { n.to_string() };
    let rounds = (0..count).map(|round| vec![shown(first.saturating_add(round.saturating_mul(step)))]);
    Ok((vec![name.trim().to_owned()], rounds.collect()))
}

/// As C reads a number: `0x` and a leading zero name the base.
fn number(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    i64::from_str_radix(digits, radix).ok().map(|value| sign * value)
}

/// `name, value..` or `{name, name}, {value, value}..`.
fn values(inside: &str) -> Result<Rounds, String> {
    let groups: Vec<Vec<String>> = groups(inside);
    let (names, rounds) = groups.split_first().ok_or("is empty")?;
    if rounds.is_empty() {
        return Err("has no values".to_owned());
    }
    if rounds.iter().any(|round| round.len() != names.len()) {
        return Err("has a round with another number of values than there are names".to_owned());
    }
    Ok((names.clone(), rounds.to_vec()))
}

/// The parts between commas; what stands in braces is one part with parts of its own.
fn groups(inside: &str) -> Vec<Vec<String>> {
    let split = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let mut found = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let braced = rest.strip_prefix('{').and_then(|open| open.split_once('}'));
        let (group, after) = if let Some((group, after)) = braced {
            (split(group), after.trim_start().trim_start_matches(','))
        } else {
            let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
            (vec![part.trim().to_owned()], after)
        };
        found.push(group);
        rest = after.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(line: &str) -> Result<String, String> {
        let found = read(line, str::to_owned)?;
        let rounds: Vec<_> = found.rounds.iter().map(|round| round.join("+")).collect();
        Ok(format!("{}: {} -> {}", found.names.join("+"), rounds.join(" "), found.rest))
    }

    #[test]
    fn sequences_count_up_down_by_steps_and_in_hexadecimal() {
        for (line, said) in [
            ("~SEQ(S, 0, 3) ip 10.0.${S}.1", "S: 0 1 2 3 -> ip 10.0.${S}.1"),
            ("~SEQ(S, 3) x", "S: 1 2 3 -> x"),
            ("~SEQ(S, -2) x", "S: -1 -2 -> x"),
            ("~SEQ(S, 5, 3) x", "S: 5 4 3 -> x"),
            ("~SEQx(S, 0x90, 0x10, 0xc0) x", "S: 90 a0 b0 c0 -> x"),
            ("~SEQ (S,1,2,6) ~SEQ(T,1) x", "S: 1 3 5 -> ~SEQ(T,1) x"),
        ] {
            assert_eq!(rounds(line).as_deref(), Ok(said), "{line}");
        }
    }

    #[test]
    fn lists_have_one_name_or_several() {
        assert_eq!(rounds("~LST(A, 1, b,3) x").as_deref(), Ok("A: 1 b 3 -> x"));
        assert_eq!(rounds("~LST({A, B}, {1,2},{3,4}) x").as_deref(), Ok("A+B: 1+2 3+4 -> x"));
    }

    #[test]
    fn what_cannot_end_is_refused() {
        for line in [
            "~SEQ(S, 1, -1, 5) x",
            "~SEQ(S, 1, 0, 5) x",
            "~SEQ(S, 1, 9000000000000000000) x",
            "~SEQ(S, -9223372036854775807, 9223372036854775807) x",
            "~SEQ(S) x",
            "~SEQ x",
            "~SEQ(S,a) x",
            "~SEQx(S,-1,4) x",
            "~LST(A) x",
            "~LST({A,B},{1}) x",
            "~LST() x",
            "~FOO(1) x",
        ] {
            assert!(rounds(line).is_err(), "{line}: {:?}", rounds(line));
        }
    }
}
