#include "app/segue/words/vm_words.hpp"

namespace segue {

bool is_vm_file_word(std::string_view word) {
    return word.find('/') != std::string_view::npos || word.ends_with(".toml");
}

}  // namespace segue
