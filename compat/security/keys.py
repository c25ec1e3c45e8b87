"""Keys and tokens of an issuer, by openssl alone.

    keys.py DIR NAME...     makes RSA keys DIR/NAME.pem and prints their JWKS
"""

import base64
import json
import pathlib
import re
import subprocess
import sys
import time


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


def jwk(folder, name):
    path = pathlib.Path(folder) / f"{name}.pem"
    if not path.exists():
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
    modulus = openssl("rsa", "-in", str(path), "-noout", "-modulus").decode()
    number = bytes.fromhex(re.search("Modulus=([0-9A-F]+)", modulus)[1])
    return {"kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": base64url(number), "e": "AQAB"}


def jwks(folder, *names):
    return json.dumps({"keys": [jwk(folder, name) for name in names]})


def token(folder, name, user, life_s, **claims):
    """A token of `user`, signed by key `name`, and when it ends."""
    now = time.time()
    claims = {"iss": "compat", "aud": "kafka", "sub": user, "iat": int(now), "exp": int(now + life_s)} | claims
    parts = [{"alg": "RS256", "kid": name, "typ": "JWT"}, claims]
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = openssl("dgst", "-sha256", "-sign", str(pathlib.Path(folder) / f"{name}.pem"), data=signed.encode())
    return f"{signed}.{base64url(signature)}", float(claims["exp"])


if __name__ == "__main__":
    print(jwks(*sys.argv[1:]))
