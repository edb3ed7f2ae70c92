"""Media types and annotations of OCI and of the CNCF ModelPack specification."""

from __future__ import annotations

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"

MODEL = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
DOC = "application/vnd.cncf.model.doc.v1.raw"
CODE = "application/vnd.cncf.model.code.v1.raw"
FILEPATH = "org.cncf.model.filepath"

FINGERPRINT = "application/vnd.permafrost.fingerprint.v1+json"
# A Sigstore bundle is what OpenSSF model-signing writes
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"

TITLE = "org.opencontainers.image.title"
REF_NAME = "org.opencontainers.image.ref.name"
CONTEXT_TOKENS = "vnd.permafrost.context-tokens"
LINEAGE = "vnd.permafrost.lineage"
UNSAFE = "vnd.permafrost.unsafe"
PACKED_FROM = "vnd.permafrost.packed-from"

_WEIGHTS = (
    *(".gguf", ".safetensors", ".onnx", ".bin", ".weights", ".plan", ".engine"),
    *(".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".tflite", ".npz"),
)
_DOCS = (".md", ".txt", ".pdf", ".rst")


def layer_type(path: str) -> str:
    """Return the layer media type of one file of a checkpoint, by its name."""
    name = path.rpartition("/")[2].lower()
    if name.endswith(_WEIGHTS):
        return WEIGHT
    if name.endswith(".py"):
        return CODE
    if name.startswith(("license", "readme", "notice")):
        return DOC
    # vocab.txt, merges.txt: the tokenizer's files decide tokens, so they are no documentation
    if name.endswith(_DOCS) and not name.startswith(("vocab", "merges")):
        return DOC
    return WEIGHT_CONFIG
