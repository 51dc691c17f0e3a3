//! `grafana/import`: the form for a person's import, or for publishing, is the provisioned one with an input for the data source.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Dashboard, directory, is_row, list, text};

/// What Grafana makes of a text when the importer has chosen a data source: the input's name in braces stands for its uid.
fn chosen(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("${DS_PROMETHEUS}", "the-chosen-one"),
        Value::Array(values) => values.iter_mut().for_each(chosen),
        Value::Object(map) => map.values_mut().for_each(chosen),
        _ => {}
    }
}

#[test]
fn the_form_for_import_is_the_provisioned_one_with_an_input_for_its_data_source() {
    let dashboards = Dashboard::all();
    let files = std::fs::read_dir(directory().join("import")).unwrap().count();
    assert_eq!(files, dashboards.len());
    for Dashboard { uid, json: plain } in &dashboards {
        let file = directory().join("import").join(uid).with_extension("json");
        let mut form: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let inputs = form["__inputs"].take();
        assert_eq!(list(&inputs).len(), 1, "{uid}");
        for (key, value) in [("name", "DS_PROMETHEUS"), ("type", "datasource"), ("pluginId", "prometheus")] {
            assert_eq!(inputs[0][key], value, "{uid}");
        }
        chosen(&mut form);
        let mut wanted = plain.clone();
        let current = &mut wanted["templating"]["list"][0]["current"];
        *current = json!({ "selected": true, "text": "the-chosen-one", "value": "the-chosen-one" });
        // Of the two forms, only the one that a person owns can be changed in the browser.
        wanted["editable"] = json!(true);
        let more = [("id", Value::Null), ("__inputs", Value::Null), ("__elements", json!({}))];
        for (key, value) in more.into_iter().chain([("__requires", form["__requires"].clone())]) {
            wanted[key] = value;
        }
        assert!(form == wanted, "{uid}: something else differs");
    }
}

#[test]
fn what_is_required_is_what_the_panels_are_made_of() {
    for Dashboard { uid, json: plain } in &Dashboard::all() {
        let file = directory().join("import").join(uid).with_extension("json");
        let form: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let of_kind = |kind: &str| -> Vec<&Value> {
            list(&form["__requires"]).iter().filter(|required| required["type"] == kind).collect()
        };
        let required: BTreeSet<&str> = of_kind("panel").iter().map(|panel| text(&panel["id"])).collect();
        let inner = list(&plain["panels"]).iter().flat_map(|panel| list(&panel["panels"]));
        let all = list(&plain["panels"]).iter().chain(inner).filter(|panel| !is_row(panel));
        assert_eq!(required, all.map(|panel| text(&panel["type"])).collect(), "{uid}");
        assert_eq!(of_kind("grafana")[0]["version"], "10.4.0");
        assert_eq!(of_kind("datasource")[0]["id"], "prometheus");
        assert!(list(&form["__requires"]).iter().all(|required| !text(&required["name"]).is_empty()));
    }
}
