-----BEGIN PRIVATE KEY-----
(three or four lines of base64, an ECDSA key on the curve P-256 in PKCS #8, as Apple gives it)
-----END PRIVATE KEY-----
