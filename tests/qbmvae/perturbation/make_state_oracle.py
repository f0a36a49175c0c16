"""Write state_oracle.npz: small random STATE networks of arc-state itself, with inputs and outputs.

Run where arc-state is installed (checked: 0.11.1 with transformers 4.52.4): python make_state_oracle.py
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import torch

N_GENES, N_EMBEDDING, N_PERT, HIDDEN, SET = 10, 6, 5, 16, 4
LLAMA = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": HIDDEN // 4,
    "use_cache": False,
    "vocab_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {
    "n_embd": HIDDEN,
    "n_layer": 2,
    "n_head": 4,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "vocab_size": 8,
}
DECODER = {
    "latent_dim": N_EMBEDDING,
    "gene_dim": N_GENES,
    "hidden_dims": [8, 8],
    "dropout": 0.1,
    "residual_decoder": False,
}
VARIANTS = {
    # (kwargs, output_space, embed_key); the first is the shape of the challenge's state_sm
    "state_sm": (
        {
            "transformer_backbone_key": "llama",
            "transformer_backbone_kwargs": {**LLAMA, "bidirectional_attention": True},
            "n_encoder_layers": 4,
            "n_decoder_layers": 4,
            "use_basal_projection": False,
        },
        "gene",
        "X_hvg",
    ),
    "all": (
        {
            "transformer_backbone_key": "llama",
            "transformer_backbone_kwargs": {**LLAMA, "bidirectional_attention": True},
            "n_encoder_layers": 1,
            "n_decoder_layers": 1,
            "confidence_token": True,
        },
        "all",
        "X_hvg",
    ),
    "embedding": (
        {"transformer_backbone_key": "llama", "transformer_backbone_kwargs": dict(LLAMA), "decoder_cfg": DECODER},
        "all",
        "X_state",
    ),
    "gpt2": ({"transformer_backbone_key": "GPT2", "transformer_backbone_kwargs": GPT2}, "gene", "X_hvg"),
}


def main() -> None:
    from state.tx.models.state_transition import StateTransitionPerturbationModel

    out = {}
    for number, (name, (kwargs, space, key)) in enumerate(VARIANTS.items()):
        torch.manual_seed(number)
        width = N_GENES if key == "X_hvg" else N_EMBEDDING
        dims = {
            "input_dim": width,
            "output_dim": width,
            "pert_dim": N_PERT,
            "gene_dim": N_GENES,
            "hvg_dim": N_GENES,
            "gene_names": [f"G{i}" for i in range(N_GENES)],
            "batch_dim": 2,
        }
        kwargs = {
            "hidden_dim": HIDDEN,
            "cell_set_len": SET,
            "predict_residual": True,
            "dropout": 0.1,
            "loss": "energy",
            **kwargs,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            model = StateTransitionPerturbationModel(
                **dims, embed_key=key, output_space=space, **copy.deepcopy(kwargs)
            ).eval()
        for p in model.parameters():
            if p.requires_grad and p.dim() > 1:
                torch.nn.init.normal_(p, std=0.3)
        basal, pert = torch.rand(2 * SET, width), torch.randn(2 * SET, N_PERT)
        with torch.no_grad():
            prediction = model({"pert_emb": pert, "ctrl_cell_emb": basal})
        prediction = prediction[0] if isinstance(prediction, tuple) else prediction
        out |= {f"{name}/weights/{k}": v.numpy() for k, v in model.state_dict().items()}
        out |= {f"{name}/basal": basal.numpy(), f"{name}/pert": pert.numpy(), f"{name}/prediction": prediction.numpy()}
        out[f"{name}/hidden"] = model._token_features.detach().numpy()
        out[f"{name}/config"] = json.dumps({"dims": dims, "kwargs": kwargs, "embed_key": key, "output_space": space})
    np.savez_compressed(Path(__file__).parent / "state_oracle.npz", **out)


if __name__ == "__main__":
    main()
