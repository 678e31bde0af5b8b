//! Which signatures verify: those of Project Wycheproof that must, and of the edge cases none that a strict verifier refuses.

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};

fn bytes(digits: &str) -> Vec<u8> {
    let digits = digits.trim_start_matches('-');
    assert!(digits.len().is_multiple_of(2), "{digits}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The verdict; what is not 64 bytes long is no signature.
fn verifies(key: &str, sig: &str, message: &str) -> bool {
    let Ok(sig) = Signature::from_slice(&bytes(sig)) else { return false };
    PublicKey::from_slice(&bytes(key)).unwrap().verify(bytes(message), &sig).is_ok()
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

#[test]
fn wycheproof() {
    let mut verdicts = [0, 0];
    for test in lines(include_str!("data/ed25519-wycheproof.txt")) {
        let [number, verdict, key, sig, message] = test[..] else { panic!("{test:?}") };
        let valid = match verdict {
            "valid" => true,
            "invalid" => false,
            _ => panic!("{test:?}"),
        };
        assert_eq!(verifies(key, sig, message), valid, "test {number}");
        verdicts[usize::from(valid)] += 1;
    }
    assert_eq!(verdicts, [63, 88]);
}

#[test]
fn edge_cases() {
    let mut verdicts = [0, 0];
    for test in lines(include_str!("data/ed25519-edge.txt")) {
        let [flags, key, sig, message] = test[..] else { panic!("{test:?}") };
        let refused = ["small_A", "small_R", "non_canonical", "large_S"];
        let valid = !flags.split(',').any(|flag| refused.contains(&flag));
        assert_eq!(verifies(key, sig, message), valid, "{test:?}");
        verdicts[usize::from(valid)] += 1;
    }
    assert!(verdicts[0] > 30 && verdicts[1] > 15, "{verdicts:?}");
}

/// RFC 8032 section 7.1, tests 1 and 2.
#[test]
fn the_vectors_of_the_rfc() {
    for (secret, key, message, sig) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let pair = KeyPair::from_seed(Seed::from_slice(&bytes(secret)).unwrap());
        assert_eq!(pair.pk.to_vec(), bytes(key));
        assert_eq!(pair.sk.sign(bytes(message), None).to_vec(), bytes(sig));
        assert!(verifies(key, sig, message));
    }
}
