//! The real Kustomize, built from its Go module in the version that
//! `tests/kustomize/go.mod` names, and what both build for a measurement.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{cache, gotool::Program};

const PACKAGE: &str = "sigs.k8s.io/kustomize/kustomize/v5";
/// As in go.mod; names the cache entry.
pub const VERSION: &str = "5.8.1";
/// Packages that a cold build compiles, for the progress line only.
const PACKAGES: usize = 377;

/// Returns the program, built now if it never was. Blocks: some minutes the
/// first time.
pub fn build() -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize");
    let folder = cache::entry("kustomize", VERSION, |folder, progress| {
        let program = Program {
            name: "kustomize",
            module: &sources,
            package: PACKAGE,
            linker_flags: "",
            packages: PACKAGES,
        };
        program.build(&folder.join("kustomize"), progress)
    })?;
    Ok(folder.join("kustomize"))
}

/// Writes an overlay with a prefix, labels and an image override over as many
/// objects, Deployments and Services by turns, a file each.
pub fn write_sample(folder: &Path, objects: usize) -> Result<()> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let base = folder.join("base");
    fs::create_dir_all(&base).with_context(|| format!("cannot make {}", base.display()))?;
    let mut resources = String::from("resources:\n");
    for number in 0..objects {
        let (kind, text) = object(number);
        let _ = writeln!(resources, "- {kind}-{number}.yaml");
        write(&base.join(format!("{kind}-{number}.yaml")), &text)?;
    }
    write(&base.join("kustomization.yaml"), &resources)?;
    write(&folder.join("kustomization.yaml"), OVERLAY)
}

const OVERLAY: &str = "\
resources: [base]
namePrefix: prod-
labels: [{pairs: {team: shop, env: prod}, includeSelectors: true}]
images: [{name: registry.example.com/shop/web, newTag: 2.0.0}]
";

fn object(number: usize) -> (&'static str, String) {
    let app = number / 2;
    if number % 2 == 1 {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app-{app}}}\n\
             spec: {{selector: {{app: app-{app}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
        );
        return ("service", text);
    }
    let text = format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata: {{name: app-{app}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: app-{app}}}}}
  template:
    metadata: {{labels: {{app: app-{app}}}}}
    spec:
      containers:
      - name: web
        image: registry.example.com/shop/web:1.0.{app}
        args: ["--port=8080", "--verbose"]
        env:
        - {{name: MODE, value: production}}
        - {{name: CONFIG, valueFrom: {{configMapKeyRef: {{name: config-{app}, key: a}}}}}}
        ports: [{{containerPort: 8080}}]
        resources: {{limits: {{cpu: 100m, memory: 128Mi}}}}
"#
    );
    ("deployment", text)
}
