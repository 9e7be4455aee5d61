#!/bin/sh
# Instructions of a warm request on the scripted network, counted by callgrind: unlike time they are the same on every
# run. Fails when a figure is more than 3 % above the recorded one; `bench/instructions.sh record` writes a new record.
# Another compiler counts differently: compare with a record of the same one.
set -eu
cd "$(dirname "$0")/.."
record=bench/instructions.txt
few=1000 many=6000

program=$(${CARGO:-cargo} bench --quiet --bench instructions --no-run --message-format json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

collected() {
    valgrind --tool=callgrind --callgrind-out-file="$out/callgrind" "$program" "$1" "$2" "$3" 2>"$out/log" ||
        { cat "$out/log" >&2; exit 1; }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out/log"
}

for version in 1 2 6455; do
    for in_flight in 1 64; do
        low=$(collected $few $in_flight $version)
        high=$(collected $many $in_flight $version)
        case $version in
        1) name= what=request ;;
        2) name="HTTP/2, " what=request ;;
        6455) name="WebSocket, " what=message ;;
        esac
        echo "$name$in_flight in flight: $(((high - low) / (many - few))) instructions a $what"
    done
done >"$out/figures"
low=$(collected $few 1 3)
high=$(collected $many 1 3)
echo "stream: $(((high - low) / (many - few))) instructions an event" >>"$out/figures"
cat "$out/figures"

case "${1:-compare}" in
record) cp "$out/figures" "$record" ;;
compare)
    awk -F ': ' '
        NR == FNR { split($2, word, " "); recorded[$1] = word[1]; next }
        { split($2, word, " ") }
        !($1 in recorded) { print $1 ": no record"; bad = 1; next }
        word[1] > recorded[$1] * 1.03 { print $1 ": was " recorded[$1] ", which is more than 3 % better"; bad = 1 }
        END { exit bad }' "$record" "$out/figures"
    ;;
*)
    echo "usage: $0 [record]" >&2
    exit 2
    ;;
esac
