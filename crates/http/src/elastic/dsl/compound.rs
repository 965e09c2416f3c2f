//! Clauses of clauses.

use attestore_engine::search::Condition;
use serde_json::Value;

use super::{Body, Context, all, any};
use crate::elastic::answer::Refusal;

impl Context<'_> {
    pub(super) fn bool(&self, body: &Body<'_>, depth: usize) -> Result<Condition, Refusal> {
        body.only(&[
            "must",
            "filter",
            "should",
            "must_not",
            "mustNot",
            "minimum_should_match",
            "adjust_pure_negative",
            "boost",
        ])?;
        body.fixed("adjust_pure_negative", &[Value::Bool(true)])?;
        let mut conditions = self.clauses(body, "must", depth)?;
        conditions.extend(self.clauses(body, "filter", depth)?);
        let should = self.clauses(body, "should", depth)?;
        let least = least(body, should.len(), conditions.is_empty())?;
        for name in ["must_not", "mustNot"] {
            let not = self.clauses(body, name, depth)?;
            conditions.extend(not.into_iter().map(|one| Condition::Not(Box::new(one))));
        }
        match least {
            0 => {}
            1 => conditions.push(any(should)),
            least if least == should.len() => conditions.extend(should),
            _ => {
                return Err(
                    body.error("supports a [minimum_should_match] of none, one or all of the clauses")
                );
            }
        }
        Ok(all(conditions))
    }

    fn clauses(&self, body: &Body<'_>, name: &str, depth: usize) -> Result<Vec<Condition>, Refusal> {
        match body.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(queries)) => queries
                .iter()
                .map(|query| self.clause(query, depth + 1))
                .collect(),
            Some(query) => Ok(vec![self.clause(query, depth + 1)?]),
        }
    }

    pub(super) fn constant_score(&self, body: &Body<'_>, depth: usize) -> Result<Condition, Refusal> {
        body.only(&["filter", "boost"])?;
        let filter = body.get("filter").ok_or_else(|| body.error("has no [filter]"))?;
        self.clause(filter, depth + 1)
    }

    pub(super) fn dis_max(&self, body: &Body<'_>, depth: usize) -> Result<Condition, Refusal> {
        body.only(&["queries", "tie_breaker", "boost"])?;
        Ok(any(self.clauses(body, "queries", depth)?))
    }
}

/// How many of `count` clauses that should match must.
fn least(body: &Body<'_>, count: usize, alone: bool) -> Result<usize, Refusal> {
    let unsupported = || body.error("supports whole numbers and percentages as [minimum_should_match]");
    let text = match body.get("minimum_should_match") {
        None => return Ok(usize::from(alone && count > 0)),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(_) => return Err(unsupported()),
    };
    let least: i64 = match text.strip_suffix('%') {
        Some(percent) => {
            let percent: i64 = percent.parse().map_err(|_| unsupported())?;
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            count.saturating_mul(percent) / 100
        }
        None => text.parse().map_err(|_| unsupported())?,
    };
    let missing =
        |left_out: i64| count.saturating_sub(usize::try_from(left_out.unsigned_abs()).unwrap_or(usize::MAX));
    Ok(match usize::try_from(least) {
        Ok(least) if least > count => {
            return Err(body.error("has fewer clauses than [minimum_should_match] asks for"));
        }
        Ok(least) => least,
        Err(_) => missing(least),
    })
}
