use super::*;

#[test]
fn printed_defaults_are_a_valid_settings_file() {
    let text = Settings::default()
        .to_toml()
        .expect("every value has a TOML form");
    let again: Settings = toml::from_str(&text).expect("what is printed can be read");
    assert_eq!(again.to_toml().expect("same"), text);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = toml::from_str::<Settings>("[engine]\nflush_age = 1\n").expect_err("no such key");
    assert!(error.to_string().contains("flush_age"), "{error}");
}
