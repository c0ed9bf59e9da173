"""A hub made of folders, with the two methods of `huggingface_hub.HfApi` that are used."""

from pathlib import Path
from types import SimpleNamespace

COMMIT, CONVERTED_COMMIT, OLD_COMMIT = "a" * 40, "b" * 40, "c" * 40


class FolderHub:
    """Serves `folder/<commit>/...`; revisions are names of commits."""

    def __init__(self, folder: Path, revisions):
        self.folder, self.revisions = folder, revisions
        self.asked, self.downloaded = [], []

    def dataset_info(self, repo_id, *, revision=None):
        self.asked.append(revision)
        commit = self.revisions.get(revision, revision)
        if not (self.folder / str(commit)).is_dir():
            raise RuntimeError(f"404 Client Error.\n\nRevision Not Found for {repo_id}: {revision}")
        names = [path.relative_to(self.folder / commit) for path in sorted((self.folder / commit).rglob("*"))]
        files = [name.as_posix() for name in names if (self.folder / commit / name).is_file()]
        return SimpleNamespace(sha=commit, siblings=[SimpleNamespace(rfilename=name) for name in files])

    def hf_hub_download(self, repo_id, filename, *, repo_type, revision):
        assert (repo_type, len(revision)) == ("dataset", 40)
        self.downloaded.append((revision, filename))
        return str(self.folder / revision / filename)
