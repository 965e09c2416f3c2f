//! `attestore correct`: says what is right where a record is wrong.

use serde_json::{Map, Value, json};

use crate::cli::{CorrectAction, CorrectArgs, Output};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::output;

/// Corrects records, and lists corrections.
pub fn run(args: &CorrectArgs) -> Result<(), Failure> {
    let client = Client::new(&args.remote)?;
    let path = |record: &str| {
        let tenant = escape(&args.tenant);
        format!("/v1/tenants/{tenant}/events/{}/corrections", escape(record))
    };
    match &args.action {
        CorrectAction::Run {
            record,
            field,
            reason,
            basis,
            output,
        } => {
            let mut body = json!({ "fields": fields(field)?, "reason": reason });
            if let Some(basis) = basis {
                body["basis"] = json!(basis);
            }
            let headers = [("content-type", "application/json")];
            let answer = client.post(&path(record), &headers, &serde_json::to_vec(&body)?)?;
            let made: Value = serde_json::from_slice(&answer.success()?)?;
            match output {
                Output::Json => output::json(&made),
                Output::Ndjson => output::ndjson(&made),
                Output::Table => {
                    let seqs = made["seqs"].as_array().into_iter().flatten();
                    let seqs: Vec<String> = seqs.map(Value::to_string).collect();
                    output::line(format!("record {record} is corrected by {}", seqs.join(", ")))
                }
            }
        }
        CorrectAction::List { record, output } => {
            let all = client.get_json(&path(record))?;
            list(all["items"].as_array().map_or(&[][..], Vec::as_slice), *output)
        }
    }
}

fn list(items: &[Value], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::json(&items),
        Output::Ndjson => items.iter().try_for_each(output::ndjson),
        Output::Table => output::table(
            ["SEQ", "AT", "BY", "FIELD", "VALUE", "REASON"],
            items.iter().flat_map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                let fields = item["fields"].as_object().into_iter().flatten();
                fields.map(move |(field, value)| {
                    [
                        item["seq"].to_string(),
                        text("at"),
                        text("by"),
                        field.clone(),
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                        text("reason"),
                    ]
                })
            }),
        ),
    }
}

/// Reads `POINTER=TEXT` and `POINTER:=JSON`.
fn fields(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for field in given {
        let Some((pointer, text)) = field.split_once('=') else {
            return Err(Failure::usage(format!("{field:?} is not POINTER=VALUE")));
        };
        let (pointer, value) = match pointer.strip_suffix(':') {
            None => (pointer, Value::from(text)),
            Some(pointer) => {
                let value = serde_json::from_str(text);
                (
                    pointer,
                    value.map_err(|e| Failure::usage(format!("{field:?}: {e}")))?,
                )
            }
        };
        if !pointer.starts_with('/') {
            return Err(Failure::usage(format!(
                "{pointer:?} is not a JSON pointer: it begins with /"
            )));
        }
        if fields.insert(pointer.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("{pointer} is given twice")));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_or_json() {
        let given = ["/a=1", "/b:=1", "/c=x=y", "/d:={\"e\":null}"].map(str::to_owned);
        let expected = json!({ "/a": "1", "/b": 1, "/c": "x=y", "/d": { "e": null } });
        assert_eq!(Value::Object(fields(&given).unwrap()), expected);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for given in [&["a=1"][..], &["/a"], &["/a:=x"], &["/a=1", "/a=2"]] {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            assert!(fields(&given).is_err(), "{given:?}");
        }
    }
}
