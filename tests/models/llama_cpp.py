"""What llama.cpp reads out of a GGUF file; a program, so that its threads and PyTorch's do not meet.

Reads `{"file", "texts", "messages", "prompts"}` from stdin, writes `{"tokens", "chat", "logprobs"}` to stdout: token
ids of each text, the rendered messages, and after each prompt of token ids the log-probs of the likeliest next tokens.
"""

import json
import os
import sys
import urllib.request
from typing import Any

import xllamacpp


def main() -> None:
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what llama.cpp itself prints goes to stderr
    settings = xllamacpp.CommonParams()
    settings.model.path = asked["file"]
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers, settings.warmup = 512, 1, 0, False
    settings.cpuparams.n_threads = 1
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(settings)

    def post(path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    found: dict[str, Any] = {
        "tokens": [post("/tokenize", content=text, add_special=True)["tokens"] for text in asked["texts"]],
        "chat": post("/apply-template", messages=asked["messages"])["prompt"],
        "logprobs": [],
    }
    for prompt in asked["prompts"]:
        written = post("/completion", prompt=prompt, n_predict=1, temperature=0, n_probs=20)
        [step] = written["completion_probabilities"]
        found["logprobs"].append({token["id"]: token["logprob"] for token in step["top_logprobs"]})
    json.dump(found, answers)
    answers.close()
    os._exit(0)  # the server's threads have no end of their own


if __name__ == "__main__":
    main()
