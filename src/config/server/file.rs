//! A configuration file as texts of keys. Judges no value.

use super::{Origin, Text};

/// The texts of a TOML file. Tables are the parts of dotted names: `[kafka]` `listeners = …` is `kafka.listeners`.
pub fn from_toml(path: &std::path::Path, text: &str) -> Result<Vec<Text>, String> {
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut texts = Vec::new();
    flatten(path, "", &table, &mut texts)?;
    Ok(texts)
}

fn flatten(path: &std::path::Path, inside: &str, table: &toml::Table, texts: &mut Vec<Text>) -> Result<(), String> {
    for (name, value) in table {
        let name = if inside.is_empty() { name.clone() } else { format!("{inside}.{name}") };
        let value = match value {
            toml::Value::Table(table) => {
                flatten(path, &name, table, texts)?;
                continue;
            }
            toml::Value::Array(items) => {
                let items: Option<Vec<_>> = items.iter().map(scalar).collect();
                items.map(|items| items.join(","))
            }
            other => scalar(other),
        };
        let Some(value) = value else {
            return Err(format!("{}: {name} has a value of a kind that no key has", path.display()));
        };
        texts.push(Text { written: name.clone(), name, value, origin: Origin::File(path.into()) });
    }
    Ok(())
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}
