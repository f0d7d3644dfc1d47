//! The software: hook releases as applications, the code they were built from, and their images.

use domain::data::lineage::LineageRelease;
use domain::json::canonical_json;
use serde_json::{Value, json};

use super::{Crate, reference};
use crate::graph::Release;
use crate::{git, name, text};

impl Crate<'_> {
    /// Adds the application of a release.
    pub(super) fn release(&mut self, release: &Release<'_>) {
        let id = self.id(&release.name());
        let mut entity = json!({
            "@id": id,
            "@type": "SoftwareApplication",
            "name": release.label(),
            "url": id,
        });
        match release {
            Release::Known(known) => {
                entity["softwareVersion"] = known.version.to_string().into();
                entity["identifier"] = known.digest.as_str().into();
                entity["datePublished"] = text::time(known.built_at, 3).into();
                entity["creator"] = reference(&self.id(&name::actor(&known.built_by)));
                entity["description"] = format!(
                    "Image {}, digest {}, given the config {}",
                    known.image,
                    known.digest,
                    canonical_json(&Value::Object(known.config.clone()))
                )
                .into();
                if let Some(code) = self.code(&known.source_ref) {
                    entity["isBasedOn"] = code;
                }
            }
            Release::Named(_, version) => entity["softwareVersion"] = version.to_string().into(),
            Release::Bare(_) | Release::OfRun(_) => {}
        }
        self.put(entity);
    }

    /// Adds the source code that a release was built from.
    fn code(&mut self, source_ref: &str) -> Option<Value> {
        if source_ref.trim().is_empty() {
            return None;
        }
        let id = self.id(&name::code(source_ref));
        let mut entity = json!({
            "@id": id,
            "@type": "SoftwareSourceCode",
            "name": source_ref,
            "version": source_ref,
        });
        if let Some(location) = git::location(source_ref) {
            entity["codeRepository"] = location.repository.into();
            entity["url"] = location.url.into();
            if let Some(version) = location.version {
                entity["version"] = version.into();
            }
        }
        self.put(entity);
        Some(reference(&id))
    }

    /// Adds the image that a run used; `None` if the hook is a plain program of the process runner.
    pub(super) fn image(&mut self, release: &LineageRelease) -> Option<Value> {
        if release.image.starts_with("file:") {
            return None;
        }
        let id = self.id(&name::image(release.digest.as_str()));
        let (registry, name, tag) = image_parts(&release.image);
        let mut entity = json!({
            "@id": id,
            "@type": "ContainerImage",
            "additionalType": {"@id": "https://w3id.org/ro/terms/workflow-run#DockerImage"},
            "registry": registry,
            "name": name,
            "identifier": release.digest.as_str(),
        });
        if let Some(tag) = tag {
            entity["tag"] = tag.into();
        }
        if let Some(hex) = release.digest.as_str().strip_prefix("sha256:") {
            entity["sha256"] = hex.into();
        }
        self.put(entity);
        Some(reference(&id))
    }
}

/// Splits an image reference into registry, name and tag. As in container engines, the first part is a registry if it
/// looks like a host, and Docker Hub is the default.
fn image_parts(image: &str) -> (&str, &str, Option<&str>) {
    let bare = image.split_once('@').map_or(image, |(bare, _)| bare);
    let (registry, rest) = match bare.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", bare),
    };
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (registry, name, Some(tag)),
        _ => (registry, rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::image_parts;

    // proves PRV-6
    #[test]
    fn an_image_reference_is_read_as_container_engines_do() {
        for (image, parts) in [
            ("penguins", ("docker.io", "penguins", None)),
            ("osa/penguins:1", ("docker.io", "osa/penguins", Some("1"))),
            ("ghcr.io/o/h:2@sha256:00", ("ghcr.io", "o/h", Some("2"))),
            ("localhost:5000/h", ("localhost:5000", "h", None)),
            ("", ("docker.io", "", None)),
        ] {
            assert_eq!(image_parts(image), parts, "{image:?}");
        }
    }
}
