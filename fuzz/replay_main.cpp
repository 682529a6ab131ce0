/// \file  Runs a fuzz target without a fuzzer: every corpus file once, then seeded mutations of them.
///
/// Usage: TARGET [--mutations N] [--seed S] CORPUS_DIR_OR_FILE...
/// The same seed gives the same inputs; a crash is repeated by giving the printed seed again.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

void run(const Input& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

Input read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return Input(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

/// Sorted, so that a seed means the same on every machine.
std::vector<Input> read_corpus(const std::vector<std::string>& places) {
    std::vector<std::filesystem::path> paths;
    for (const auto& place : places) {
        // A mistyped folder must not pass as an empty corpus.
        if (!std::filesystem::exists(place)) return {};
        if (!std::filesystem::is_directory(place)) {
            paths.emplace_back(place);
            continue;
        }
        for (const auto& entry : std::filesystem::directory_iterator(place)) {
            if (entry.is_regular_file()) paths.push_back(entry.path());
        }
    }
    std::ranges::sort(paths);
    std::vector<Input> inputs;
    for (const auto& path : paths) inputs.push_back(read_file(path));
    return inputs;
}

class Mutator {
public:
    explicit Mutator(std::uint64_t seed) : random_(seed) {}

    Input mutate(const std::vector<Input>& corpus) {
        Input input = corpus[below(corpus.size())];
        const std::size_t changes = 1 + below(4);
        for (std::size_t i = 0; i < changes; ++i) change(input, corpus);
        return input;
    }

private:
    /// The standard distributions differ between libraries; this does not.
    std::size_t below(std::size_t bound) {
        return bound == 0 ? 0 : static_cast<std::size_t>(random_() % bound);
    }

    void change(Input& input, const std::vector<Input>& corpus) {
        const std::size_t at = below(input.size() + 1);
        const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
        const std::size_t length = std::min(below(40), input.size() - at);
        const auto end = place + static_cast<std::ptrdiff_t>(length);
        static constexpr std::string_view telling = "{}[]\":,\\ \n0-9eEtfnu\x01\xff";
        switch (below(5)) {
            case 0: input.erase(place, end); break;
            case 1: {
                const Input copy(place, end);
                input.insert(place, copy.begin(), copy.end());
                break;
            }
            case 2: input.insert(place, static_cast<std::uint8_t>(telling[below(telling.size())])); break;
            case 3:
                if (at < input.size()) input[at] = static_cast<std::uint8_t>(random_());
                break;
            default: {
                const Input& other = corpus[below(corpus.size())];
                const auto from = static_cast<std::ptrdiff_t>(below(other.size() + 1));
                input.resize(at);
                input.insert(input.end(), other.begin() + from, other.end());
            }
        }
    }

    std::mt19937_64 random_;
};

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t seed = 1, mutations = 20'000;
    std::vector<std::string> places;
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const bool more = i + 1 < arguments.size();
        if (arguments[i] == "--seed" && more) {
            seed = number(arguments[++i]);
        } else if (arguments[i] == "--mutations" && more) {
            mutations = number(arguments[++i]);
        } else {
            places.push_back(arguments[i]);
        }
    }
    const auto corpus = read_corpus(places);
    if (corpus.empty()) {
        std::fprintf(stderr, "usage: %s [--mutations N] [--seed S] CORPUS...\n", argv[0]);
        return 2;
    }
    std::printf("%zu corpus files, %llu mutations, seed %llu\n", corpus.size(),
                static_cast<unsigned long long>(mutations), static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    for (const Input& input : corpus) run(input);
    Mutator mutator(seed);
    for (std::uint64_t i = 0; i < mutations; ++i) run(mutator.mutate(corpus));
    return 0;
}
