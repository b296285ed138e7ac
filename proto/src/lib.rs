//! What banger's programs say to each other: the contracts, validated nouns, typed clients.
