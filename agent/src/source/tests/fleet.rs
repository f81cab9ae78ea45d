//! Fleet repositories, made by `git fast-import`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

/// Where the folders of the clusters are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Layout {
    Flat,
    /// 45 shards.
    Sharded,
}

impl Layout {
    pub(in super::super) fn path(self, cluster: usize) -> String {
        match self {
            Self::Flat => format!("clusters/edge-{cluster:04}"),
            Self::Sharded => format!("clusters/{:02}/edge-{cluster:04}", cluster % 45),
        }
    }
}

/// What the server's configuration allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Policy {
    AllFilters,
    /// `blob:none` and `tree:0`, each alone.
    Coarse,
    BlobNoneOnly,
    NoFilter,
}

const FILES: usize = 12;

/// A bare repository in a temporary folder.
pub(in super::super) struct Repository {
    root: tempfile::TempDir,
    folder: String,
    layout: Layout,
    made: std::cell::Cell<usize>,
}

impl Repository {
    pub(in super::super) fn empty(layout: Layout, policy: Policy) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("fleet.git").to_str().unwrap().to_owned();
        std::fs::create_dir(&folder).unwrap();
        let repository = Self { root, folder, layout, made: std::cell::Cell::new(0) };
        repository.git(&["init", "-q", "--bare", "-b", "main", "."]);
        let settings: &[&[&str]] = match policy {
            Policy::AllFilters => &[&["uploadpack.allowFilter", "true"]],
            Policy::Coarse => &[
                &["uploadpack.allowFilter", "true"],
                &["uploadpackfilter.allow", "false"],
                &["uploadpackfilter.blob:none.allow", "true"],
                &["uploadpackfilter.tree.allow", "true"],
                &["uploadpackfilter.tree.maxDepth", "0"],
            ],
            Policy::BlobNoneOnly => &[
                &["uploadpack.allowFilter", "true"],
                &["uploadpackfilter.allow", "false"],
                &["uploadpackfilter.blob:none.allow", "true"],
            ],
            Policy::NoFilter => &[],
        };
        for setting in settings {
            repository.git(&["config", setting[0], setting[1]]);
        }
        repository
    }

    /// `clusters` folders of 12 files, some 15 KB each, and a few things besides.
    pub(in super::super) fn fleet(layout: Layout, policy: Policy, clusters: usize) -> Self {
        let repository = Self::empty(layout, policy);
        repository.commit(|stream| {
            for cluster in 0..clusters {
                write_cluster(stream, layout, cluster, 0);
            }
            write_file(stream, "README.md", "A fleet.\n");
            write_file(stream, "docs/guide.md", &"Words about words. ".repeat(200));
            for image in 0..8_u64 {
                write_file(stream, &format!("images/{image}.bin"), &noise(image, 40_000));
            }
        });
        repository
    }

    pub(in super::super) fn folder(&self) -> &str {
        &self.folder
    }

    /// What is served: the folder above.
    pub(in super::super) fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    pub(in super::super) fn path(&self, cluster: usize) -> String {
        self.layout.path(cluster)
    }

    /// Adds a commit to `main`; the closure writes `M` and `D` commands of fast-import.
    pub(in super::super) fn commit(&self, change: impl FnOnce(&mut String)) {
        let mut change = Some(change);
        self.commits(1, |_, stream| change.take().unwrap()(stream));
    }

    /// Adds several, one after the other.
    pub(in super::super) fn commits(
        &self,
        count: usize,
        mut change: impl FnMut(usize, &mut String),
    ) {
        let mut stream = String::new();
        for index in 0..count {
            let number = self.made.replace(self.made.get() + 1);
            let message = format!("Change number {number}");
            let time = 1_790_000_000 + number * 60;
            write!(
                stream,
                "commit refs/heads/main\ncommitter Fleet <fleet@example.com> {time} +0000\ndata {}\n{message}\n",
                message.len()
            )
            .unwrap();
            if number > 0 && index == 0 {
                stream.push_str("from refs/heads/main^0\n");
            }
            change(index, &mut stream);
            stream.push('\n');
        }
        stream.push_str("done\n");
        let mut child = Command::new("git")
            .args(["-C", self.folder(), "fast-import", "--quiet", "--done", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Changes one file in the folder of each of these clusters.
    pub(in super::super) fn change(&self, clusters: impl IntoIterator<Item = usize>) {
        let version = self.made.get();
        self.commit(|stream| {
            for cluster in clusters {
                write_change(stream, self.layout, cluster, version);
            }
        });
    }

    pub(in super::super) fn git(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("git").arg("-C").arg(self.folder()).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(in super::super) fn head(&self) -> String {
        self.git(&["rev-parse", "refs/heads/main"]).trim().to_owned()
    }

    /// What Git lists below a folder: path and blob id.
    pub(in super::super) fn files(&self, path: &str) -> BTreeMap<String, String> {
        let listed = self.git(&["ls-tree", "-r", &format!("refs/heads/main:{path}")]);
        listed
            .lines()
            .filter(|line| line.starts_with("100"))
            .map(|line| {
                let (meta, path) = line.split_once('\t').unwrap();
                (path.to_owned(), meta.split(' ').nth(2).unwrap().to_owned())
            })
            .collect()
    }
}

pub(in super::super) fn write_file(stream: &mut String, path: &str, content: &str) {
    write!(stream, "M 100644 inline {path}\ndata {}\n{content}\n", content.len()).unwrap();
}

pub(in super::super) fn write_cluster(
    stream: &mut String,
    layout: Layout,
    cluster: usize,
    version: usize,
) {
    for file in 0..FILES {
        let folder = if file % 2 == 0 { "" } else { "app/" };
        let path = format!("{}/{folder}deployment-{file}.yaml", layout.path(cluster));
        write_file(stream, &path, &manifest(cluster, file, version));
    }
}

/// Another version of one file of a cluster.
pub(in super::super) fn write_change(
    stream: &mut String,
    layout: Layout,
    cluster: usize,
    version: usize,
) {
    let path = format!("{}/app/deployment-3.yaml", layout.path(cluster));
    write_file(stream, &path, &manifest(cluster, 3, version));
}

/// Some 1.2 KB of YAML with a few words of its own.
fn manifest(cluster: usize, file: usize, version: usize) -> String {
    let mut text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: service-{file}\n  namespace: shop\n  \
         labels:\n    cluster: edge-{cluster:04}\n    app: service-{file}\n    version: v{version}\nspec:\n  \
         replicas: {}\n  selector:\n    matchLabels:\n      app: service-{file}\n  template:\n    metadata:\n      \
         labels:\n        app: service-{file}\n    spec:\n      containers:\n      - name: main\n        \
         image: registry.example.com/shop/service-{file}:1.{}.{version}\n        env:\n",
        1 + (cluster + file) % 3,
        cluster % 17,
    );
    for line in 0..8 {
        let secret = noise((cluster * 1_000 + file * 10 + line) as u64, 12);
        write!(
            text,
            "        - name: SETTING_{line}\n          value: edge-{cluster:04}-{secret}\n"
        )
        .unwrap();
    }
    text.push_str(
        "        resources:\n          requests:\n            cpu: 50m\n            memory: 64Mi\n        \
         ports:\n        - containerPort: 8080\n        readinessProbe:\n          httpGet:\n            \
         path: /healthz\n            port: 8080\n",
    );
    text
}

/// Letters that do not compress well, the same for the same seed.
pub(in super::super) fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"
                    [(state >> 40) as usize & 63],
            )
        })
        .collect()
}
