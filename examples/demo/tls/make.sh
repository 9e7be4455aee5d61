#!/bin/sh
# Makes the certificates of the demo anew, here. Nobody needs to: they come with the project and are valid until 9999
# (RFC 5280 section 4.1.2.5). The keys are known to everybody and protect nothing. Those of the authorities are thrown
# away, so that nobody can make further certificates for who trusts them by mistake.
#
#   ca.pem        the authority that the demo trusts
#   server.pem    its certificate for localhost, demo.test, 127.0.0.1 and ::1, with the key
#   expired.pem   its certificate for expired.test, valid in 2020
#   stranger.pem  a certificate for stranger.test by an authority that nobody trusts
#   client.pem    its certificate for a client, with the key
#   pin           the hash of the server's key, for tls_pins
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"; }

# authority FILE NAME
authority() {
    key "$1"
    openssl req -new -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
    printf 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' \
        >"$work/$1.ext"
    mkdir "$work/$1.d"
    : >"$work/$1.d/index"
    sign "$1" "$1" 20200101000000Z 99991231235959Z
}

# sign ISSUER FILE FROM UNTIL
sign() {
    printf '[ca]\ndefault_ca=it\n[it]\nnew_certs_dir=%s\ndatabase=%s/index\nrand_serial=yes\nunique_subject=no\n' \
        "$work" "$work/$1.d" >"$work/config"
    printf 'policy=p\n[p]\ncommonName=supplied\n' >>"$work/config"
    if [ "$1" = "$2" ]; then set -- "$@" -selfsign; else set -- "$@" -cert "$work/$1.pem"; fi
    issuer=$1 file=$2 from=$3 until=$4
    shift 4
    openssl ca -batch -notext -config "$work/config" -md sha256 -keyfile "$work/$issuer.key" "$@" \
        -startdate "$from" -enddate "$until" -extfile "$work/$file.ext" -in "$work/$file.csr" -out "$work/$file.pem"
}

# leaf ISSUER FILE FROM UNTIL USAGE NAMES
leaf() {
    key "$2"
    openssl req -new -key "$work/$2.key" -subj "/CN=chttpcore demo $2" -out "$work/$2.csr"
    printf '%s\n' basicConstraints=critical,CA:false keyUsage=critical,digitalSignature extendedKeyUsage="$5" \
        subjectAltName="$6" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >"$work/$2.ext"
    sign "$1" "$2" "$3" "$4"
    {
        echo "For the demo and the tests of libchttpcore alone: this key is known to everybody."
        cat "$work/$2.pem" "$work/$2.key"
    } >"$2.pem"
}

authority ca 'chttpcore demo authority, trust it nowhere else'
authority other 'chttpcore demo stranger'
{
    echo "For the demo and the tests of libchttpcore alone. Its key was thrown away."
    cat "$work/ca.pem"
} >ca.pem
leaf ca server 20200101000000Z 99991231235959Z serverAuth DNS:localhost,DNS:demo.test,IP:127.0.0.1,IP:::1
leaf ca expired 20200101000000Z 20201231235959Z serverAuth DNS:expired.test
leaf other stranger 20200101000000Z 99991231235959Z serverAuth DNS:stranger.test
leaf ca client 20200101000000Z 99991231235959Z clientAuth DNS:client.test
openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform DER |
    openssl dgst -sha256 -binary | openssl base64 | sed 's|^|sha256/|' >pin
