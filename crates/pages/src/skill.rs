//! `/SKILL.md`: the archive, described for agents (WC-1.11).

use std::collections::BTreeSet;

use crate::documents::{Skill, SkillDataset};
use crate::front::shell_word;
use crate::markdown::{code, fenced, inline, table, yaml};
use crate::paths::{self, Format, Path};
use crate::text::{counted, counted_of, finished, machine_time, one_line};

/// Converts a domain to a part of a name: lower case, with a dash for each other character than letters and digits.
fn slug(domain: &str) -> String {
    let lower = domain.to_ascii_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric());
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// Returns the description by which agents choose the skill: the node's description, and each question that some data
/// answer, once.
fn description(skill: &Skill) -> String {
    let mut seen = BTreeSet::new();
    let mut parts = vec![one_line(&skill.node.description)];
    for question in skill.conventions.iter().flat_map(|c| &c.example_questions) {
        let question = one_line(question);
        if !question.is_empty() && seen.insert(question.clone()) {
            parts.push(question);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// Writes the document at [`paths::SKILL`].
pub fn skill_md(skill: &Skill) -> String {
    let node = &skill.node;
    let mut out = format!(
        "---\nname: osa-data-{}\ndescription: {}\n---\n\n# {}\n\n",
        slug(&node.domain),
        yaml(&description(skill)),
        inline(&node.name)
    );
    push_paragraph(&mut out, &node.description);
    for convention in &skill.conventions {
        out.push_str(&format!("## {}\n\n", inline(&convention.title)));
        match &convention.purpose {
            Some(purpose) => push_paragraph(&mut out, purpose),
            None => out.push_str("Its author states no purpose.\n\n"),
        }
    }
    out.push_str(&datasets(skill));
    out.push_str(&access(skill));
    let not_to_use = skill.conventions.iter().filter_map(|c| {
        Some(format!(
            "{}: {}",
            inline(&c.title),
            inline(c.when_not_to_use.as_deref()?)
        ))
    });
    push_list(&mut out, "When not to use", not_to_use);
    let see_also = skill
        .conventions
        .iter()
        .flat_map(|c| &c.see_also)
        .map(|text| inline(text));
    push_list(&mut out, "See also", see_also);
    finished(out)
}

/// Appends a foreign paragraph.
pub(crate) fn push_paragraph(out: &mut String, text: &str) {
    out.push_str(&inline(text));
    out.push_str("\n\n");
}

/// Appends a heading and a list under it; nothing if the list would be empty.
pub(crate) fn push_list(out: &mut String, heading: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.filter(|item| !item.is_empty()).collect();
    if items.is_empty() {
        return;
    }
    out.push_str(&format!("## {heading}\n\n"));
    for item in items {
        out.push_str(&format!("- {item}\n"));
    }
    out.push('\n');
}

fn datasets(skill: &Skill) -> String {
    let mut out = "## Datasets\n\n".to_owned();
    if skill.datasets.is_empty() {
        out.push_str("There are none yet.\n\n");
        return out;
    }
    let row = |dataset: &SkillDataset| {
        [
            code(&dataset.schema),
            inline(&dataset.title),
            counted(dataset.records),
            code(&skill.node.base.url(&paths::schema_doc(&dataset.schema))),
        ]
    };
    let head = ["Schema", "Title", "Records", "Reference"];
    out.push_str(&table(head, skill.datasets.iter().map(row)));
    if let Some(at) = skill.as_of {
        out.push_str(&format!("\nCounted at {}.\n", machine_time(at)));
    }
    out.push_str("\nRead a dataset's reference before you query it: it names every column.\n\n");
    for dataset in &skill.datasets {
        if dataset.features.is_empty() {
            continue;
        }
        out.push_str(&format!("Computed for {}:\n\n", code(&dataset.schema)));
        for feature in &dataset.features {
            out.push_str(&format!(
                "- {}: {}, for {} of {}\n",
                code(&feature.name),
                counted_of(feature.rows, "row", "rows"),
                counted(feature.records_covered),
                counted_of(dataset.records, "record", "records")
            ));
        }
        out.push('\n');
    }
    out
}

fn access(skill: &Skill) -> String {
    // The first dataset, and one that has a feature table; a placeholder if there is neither.
    let schema = skill.datasets.first().map_or("SCHEMA", |d| d.schema.as_str());
    let hook = skill
        .datasets
        .first()
        .and_then(|d| d.features.first())
        .map_or("HOOK", |f| f.name.as_str());
    let url = |path: Path| shell_word(&skill.node.base.url(&path));
    let records = paths::table_data(schema, "records", Format::Json, &[]);
    let calls = format!(
        "# everything, as a stream\n\
         curl {}\n\
         curl -o records.csv.gz {}\n\
         curl -o records.parquet {}\n\
         # what a filter passes\n\
         curl --json '{{\"filter\": {{\"kind\": \"predicate\", \"field\": \"metadata.FIELD\", \"op\": \"eq\", \"value\": \"VALUE\"}}, \"limit\": 100}}' {}\n\
         # one record\n\
         curl {}\n\
         # where a feature row comes from\n\
         curl {}\n",
        url(paths::table_data(schema, "records", Format::Csv, &[])),
        url(paths::table_data(schema, "records", Format::CsvGz, &[])),
        url(paths::table_data(schema, "records", Format::Parquet, &[])),
        url(records),
        url(paths::record_data("RECORD_ID")),
        url(paths::trace_data(schema, hook, 1)),
    );
    format!(
        "## Access\n\n\
         Everything is read without an account. A schema has one table `records` and one feature table for each hook. \
         Join them by `records.srn = <hook>.record_srn`; every feature row has the `run_id` of the run that computed it.\n\n\
         {}\n\
         Pages have `next_cursor`: pass it as `cursor` until it is null. What else a table takes: `limit`, `sort=<col>:desc`, \
         `as_of=<time>` for the table as it stood then.\n\n",
        fenced("sh", &calls)
    )
}

#[cfg(test)]
mod tests {
    use super::slug;

    // proves DAT-1: the skill has the name of WC-1.11.
    #[test]
    fn a_domain_becomes_part_of_a_name() {
        assert_eq!(slug("Archive.Example.org:8080"), "archive-example-org-8080");
        assert_eq!(slug("..é"), "");
    }
}
