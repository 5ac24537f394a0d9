#!/bin/sh
# Makes the gallery, its table and the reconstructions of this folder: about half an hour on two cores.
set -eu
cd "$(dirname "$0")/../.."
export OMP_WAIT_POLICY=PASSIVE

reconstruct() {
    output=$1
    shift
    echo "docs/edits/$output"
    target/release/darkroom reconstruct tests/data/pictures/pictures.json --output "docs/edits/$output" "$@" > /dev/null
}

.venv/bin/python docs/edits/gallery.py
reconstruct reconstruct --method ddim --method direct --method edit_friendly --method bdia --method edict \
    --method infedit --method prompt_to_prompt
# Apart, because its gradients take longer than all the others together.
reconstruct reconstruct-null-text --method null_text --steps 10
